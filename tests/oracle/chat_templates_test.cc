// Real chat templates, rendered here and by jinja2 (tests/oracle/jinja_judge.py), must agree.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/json.h"
#include "support/files.h"
#include "text/jinja.h"

namespace karat::text {
namespace {

using base::Json;

// The judge's verdicts on cases of "template" and "variables"; null if it cannot run here.
Json judge(const Json& cases) {
  const test::TempDir folder;
  Json question = Json::object();
  question.set("cases", cases);
  const std::string in = folder.write("cases.json", question.dump()),
                    out = folder.path("verdicts.json");
  const std::string python =
      std::filesystem::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  const std::string command =
      python + " '" KARAT_ROOT "/tests/oracle/jinja_judge.py' < '" + in + "' > '" + out + "'";
  const int status = std::system(command.c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 77 || code == 127) return {};
  EXPECT_EQ(code, 0) << command;
  return base::parse_json(test::read_bytes(out));
}

Json test_case(const std::string& source, Json variables) {
  Json out = Json::object();
  out.set("template", source);
  out.set("variables", std::move(variables));
  return out;
}

// Renders every case and compares with its verdict.
void expect_agreement(const Json& cases, const Json& verdicts) {
  ASSERT_EQ(cases.as_array().size(), verdicts.as_array().size());
  size_t texts = 0;
  for (size_t i = 0; i < cases.as_array().size(); ++i) {
    const Json &item = cases.as_array()[i], &verdict = verdicts.as_array()[i];
    std::vector<JinjaTemplate::Variable> variables;
    for (const auto& [name, value] : item.at("variables").as_object()) {
      variables.push_back({name, &value, name == "messages"});
    }
    const std::string what =
        item.at("template").as_string().substr(0, 200) + "\n" + item.at("variables").dump();
    const Json* text = verdict.find("text");
    try {
      const JinjaTemplate chat(item.at("template").as_string(), "t");
      const std::string got = chat.render(variables).text;
      ASSERT_NE(text, nullptr) << what << "\nshould be " << verdict.dump() << ", is " << got;
      EXPECT_EQ(got, text->as_string()) << what;
      ++texts;
    } catch (const base::Error& error) {
      ASSERT_EQ(text, nullptr) << what << "\n" << error.what();
      const std::string& expected = verdict.at("error").as_string();
      const std::string raised = "TemplateError: ";
      if (expected.compare(0, raised.size(), raised) == 0) {
        EXPECT_EQ(error.what(), expected.substr(raised.size())) << what;
      }
    }
  }
  EXPECT_GT(texts, cases.as_array().size() / 2);
}

// The variables of every chat golden, once as they are and once with some options turned over.
std::vector<Json> conversations() {
  const Json goldens = base::parse_json(
      test::read_bytes(KARAT_ROOT "/tests/fixtures/goldens/chat_template_fixture.json"));
  std::vector<Json> out;
  for (const Json& item : goldens.at("cases").as_array()) {
    Json variables = item.at("kwargs");
    variables.set("messages", item.at("messages"));
    variables.set("tools", item.at("tools"));
    out.push_back(variables);
    Json& generation = variables.set("add_generation_prompt", true);
    generation = !item.at("kwargs").at("add_generation_prompt").as_bool();
    variables.set("enable_thinking", out.size() % 4 == 0);
    variables.set("preserve_thinking", true);
    variables.set("bos_token", "<s>");
    out.push_back(std::move(variables));
  }
  return out;
}

std::vector<std::string> template_files() {
  std::vector<std::string> out = {KARAT_ROOT "/tests/fixtures/tiny-random/chat_template.jinja"};
  for (const char* up : {"/../shared/", "/../../shared/"}) {
    const std::string folder = KARAT_ROOT + std::string(up) + "data/chat-templates";
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".jinja") out.push_back(entry.path());
    }
    break;
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(ChatTemplates, EqualJinja2) {
  const std::vector<std::string> files = template_files();
  Json cases = Json::array();
  for (const std::string& file : files) {
    const std::string source = test::read_bytes(file);
    for (const Json& variables : conversations()) cases.push(test_case(source, variables));
  }
  const Json verdicts = judge(cases);
  if (verdicts.is_null()) GTEST_SKIP() << "python3-jinja2 is not installed";
  expect_agreement(cases, verdicts);
  if (files.size() == 1) GTEST_SKIP() << "only the fixtures' own template is there";
}

// The stored results of the small templates are what the jinja2 installed here says.
TEST(ChatTemplates, StoredSnippetsAreCurrent) {
  const Json goldens =
      base::parse_json(test::read_bytes(KARAT_ROOT "/tests/fixtures/goldens/jinja_snippets.json"));
  Json cases = Json::array();
  for (const Json& item : goldens.at("cases").as_array()) {
    cases.push(test_case(item.at("template").as_string(), goldens.at("variables")));
  }
  const Json verdicts = judge(cases);
  if (verdicts.is_null()) GTEST_SKIP() << "python3-jinja2 is not installed";
  for (size_t i = 0; i < cases.as_array().size(); ++i) {
    const Json* stored = goldens.at("cases").as_array()[i].find("text");
    const Json* now = verdicts.as_array()[i].find("text");
    ASSERT_EQ(stored == nullptr, now == nullptr) << cases.as_array()[i].dump();
    if (stored == nullptr) continue;
    EXPECT_EQ(stored->as_string(), now->as_string());
  }
}

}  // namespace
}  // namespace karat::text
