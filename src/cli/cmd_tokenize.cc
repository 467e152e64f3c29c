#include <cstdint>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/load.h"
#include "model/open.h"

namespace karat::cli {

namespace {

class Tokenize : public Command {
 public:
  std::string verb() const override { return "tokenize"; }
  std::string summary() const override { return "show the token ids of a text"; }
  std::string usage() const override { return "-m MODEL [options] [-f FILE | TEXT]"; }

  void declare(Options& options) override {
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.text("-f,--file", "FILE", file_, "read the text from a file");
    options.flag("--parse-special", parse_special_, "\"<|im_start|>\" in the text is the token");
    options.text("TEXT", "", text_, "the text").accept = [this](const std::string& given) {
      text_ = given, has_text_ = true;
    };
  }

  void run(const Common& common) override {
    if (has_text_ == !file_.empty()) {
      throw base::fail(base::ErrorKind::usage, "give either TEXT or -f FILE");
    }
    const model::OpenedModel opened = model::open_model(model_);
    const text::Tokenizer tokenizer = make_tokenizer(opened);
    const std::string text = has_text_ ? text_ : base::read_file(file_);
    const std::vector<uint32_t> ids = tokenizer.encode(text, {.parse_special = parse_special_});
    if (common.json) {
      print_json(as_json(tokenizer, ids));
      return;
    }
    std::string out;
    for (const uint32_t id : ids) {
      out += base::strf("%8u  '%s'\n", id, base::printable(tokenizer.token_text(id)).c_str());
    }
    print(out + base::strf("%zu tokens\n", ids.size()));
  }

 private:
  static base::Json as_json(const text::Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
    base::Json list = base::Json::array(), pieces = base::Json::array();
    for (const uint32_t id : ids) {
      list.push(static_cast<int64_t>(id));
      pieces.push(tokenizer.token_text(id));
    }
    base::Json json = base::Json::object();
    json.set("count", static_cast<int64_t>(ids.size()));
    json.set("ids", std::move(list));
    json.set("pieces", std::move(pieces));
    return json;
  }

  std::string model_, file_, text_;
  bool parse_special_ = false, has_text_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize() { return std::make_unique<Tokenize>(); }

}  // namespace karat::cli
