#include "calib/documents.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "support/files.h"

namespace karat::calib {
namespace {

using Strings = std::vector<std::string>;

class Documents : public testing::Test {
 protected:
  std::vector<Document> read(const std::string& bytes, DocumentForm form,
                             const Strings& fields = {}) {
    return read_documents(folder_.write("d", bytes), form, fields);
  }
  std::string error_of(const std::string& bytes, DocumentForm form, const Strings& fields = {}) {
    try {
      read(bytes, form, fields);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
      return std::string(error.what()).substr(folder_.path("d").size());
    }
    return "";
  }
  test::TempDir folder_;
};

TEST_F(Documents, OfText) {
  const std::string text = "one\ntwo\r\n\n  \nthree\n\n";
  const auto file = read(text, DocumentForm::file);
  ASSERT_EQ(file.size(), 1u);
  EXPECT_EQ(file[0].texts, Strings{text});
  const auto paragraphs = read(text, DocumentForm::paragraphs);
  ASSERT_EQ(paragraphs.size(), 2u);
  EXPECT_EQ(paragraphs[0].texts, Strings{"one\ntwo"});
  EXPECT_EQ(paragraphs[1].texts, Strings{"three"});
  EXPECT_EQ(paragraphs[1].number, 5);
  const auto lines = read(text, DocumentForm::lines);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].texts, Strings{"two"});
  EXPECT_EQ(lines[2].number, 5);
  EXPECT_TRUE(read(" \n\n", DocumentForm::file).empty());
  EXPECT_TRUE(read("", DocumentForm::paragraphs).empty());
}

TEST_F(Documents, OfRecords) {
  const std::string lines = R"({"text": "a", "n": 1, "more": ["b", {"c": "d"}]})"
                            "\n\n"
                            R"({"text": "", "more": []})";
  auto all = read(lines, DocumentForm::json);
  ASSERT_EQ(all.size(), 2u);  // keys are texts, too
  EXPECT_EQ(all[0].texts, (Strings{"text", "a", "n", "more", "b", "c", "d"}));
  const auto some = read(lines, DocumentForm::json, {"more", "text"});
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].texts, (Strings{"b", "c", "d", "a"}));
  const auto array = read(R"( [{"text": "x"}, {"text": "y"}])", DocumentForm::json, {"text"});
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[1].number, 2);
  EXPECT_EQ(array[1].texts, Strings{"y"});
}

TEST_F(Documents, OfChats) {
  const auto chats =
      read(R"({"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f"}]})"
           "\n"
           R"({"messages": [{"role": "user", "content": "ho"}], "tools": null})",
           DocumentForm::chat);
  ASSERT_EQ(chats.size(), 2u);
  EXPECT_TRUE(chats[0].is_chat() && chats[0].tools.is_array() && chats[1].tools.is_null());
  EXPECT_EQ(chats[1].texts, (Strings{"role", "user", "content", "ho"}));
}

TEST_F(Documents, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("{\"text\": 1}\n{\"txt\": 2}", DocumentForm::json, {"text"}),
            ":2: the record has no 'text'");
  EXPECT_EQ(error_of("{}\nnonsense", DocumentForm::json).substr(0, 3), ":2:");
  EXPECT_EQ(error_of("[1]", DocumentForm::json), ":1: an object is expected");
  EXPECT_EQ(error_of("{\"messages\": [\"hi\"]}", DocumentForm::chat).substr(0, 17),
            ":1: 'messages' is");
  EXPECT_EQ(error_of("{\"messages\": []}", DocumentForm::chat).substr(0, 17), ":1: 'messages' is");
  EXPECT_EQ(error_of("a\xff", DocumentForm::file), ": not a UTF-8 text");
  EXPECT_EQ(error_of(std::string("a\0b", 3), DocumentForm::lines), ": not a UTF-8 text");
}

TEST_F(Documents, FilesOfAFolderAreSorted) {
  std::filesystem::create_directory(folder_.path("b"));
  folder_.write("c", "1");
  folder_.write("b/a", "2");
  EXPECT_EQ(list_files(folder_.path()), (Strings{folder_.path("b/a"), folder_.path("c")}));
  EXPECT_EQ(list_files(folder_.path("c")), Strings{folder_.path("c")});
  EXPECT_THROW(list_files(folder_.path("none")), base::Error);
  std::filesystem::create_directory(folder_.path("empty"));
  EXPECT_THROW(list_files(folder_.path("empty")), base::Error);
}

TEST(DocumentForms, HaveNames) {
  ASSERT_NE(document_form("chat"), nullptr);
  EXPECT_EQ(*document_form("chat"), DocumentForm::chat);
  EXPECT_EQ(document_form("Chat"), nullptr);
  EXPECT_EQ(form_name(DocumentForm::paragraphs), "paragraphs");
}

}  // namespace
}  // namespace karat::calib
