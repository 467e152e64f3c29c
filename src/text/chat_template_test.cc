#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace karat::text {
namespace {

using base::Error;
using base::ErrorKind;
using base::Json;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// A file of the folder `shared` beside the checkout, or nothing.
std::string shared_file(const std::string& name) {
  for (const char* up : {"/../shared/", "/../../shared/"}) {
    const std::string path = KARAT_ROOT + std::string(up) + name;
    if (std::filesystem::exists(path)) return path;
  }
  return {};
}

// Every case of a goldens file: what transformers printed, or the message of its error.
void check_goldens(const std::string& goldens_path, const std::string& template_path) {
  const Json goldens = base::parse_json(read_file(goldens_path));
  const ChatTemplate chat(read_file(template_path));
  EXPECT_EQ(goldens.at("cases").as_array().size(), 69u);
  for (const Json& item : goldens.at("cases").as_array()) {
    const std::string& name = item.at("name").as_string();
    RenderOptions options;
    options.add_generation_prompt = false;
    options.extra = item.at("kwargs");
    const Json* expected = item.find("expected");
    try {
      const std::string text = chat.render(item.at("messages"), item.at("tools"), options);
      ASSERT_NE(expected, nullptr) << name << " should be an error, printed " << text;
      EXPECT_EQ(text, expected->as_string()) << name;
    } catch (const Error& error) {
      ASSERT_EQ(expected, nullptr) << name << ": " << error.what();
      EXPECT_EQ(error.kind(), ErrorKind::bad_input) << name;
      const std::string& message = item.at("expected_error").as_string();
      const Json* type = item.find("error_type");
      const bool raised = type != nullptr && type->as_string() == "TemplateError";
      if (raised) {
        EXPECT_EQ(error.what(), message) << name;
      } else {
        EXPECT_NE(std::string(error.what()).find(message), std::string::npos)
            << name << ": " << error.what() << " does not say " << message;
      }
    }
  }
}

TEST(ChatTemplate, FixtureTemplateEqualsTransformers) {
  check_goldens(KARAT_ROOT "/tests/fixtures/goldens/chat_template_fixture.json",
                KARAT_ROOT "/tests/fixtures/tiny-random/chat_template.jinja");
}

TEST(ChatTemplate, OfficialTemplateEqualsTransformers) {
  const std::string goldens = shared_file("fixtures/goldens/chat_template.json");
  const std::string source = shared_file("data/chat-templates/Qwen3.6-35B-A3B.jinja");
  if (goldens.empty() || source.empty()) {
    GTEST_SKIP() << "the official template and its goldens are not beside the checkout";
  }
  check_goldens(goldens, source);
}

Json messages_of(const char* text) { return base::parse_json(text); }

TEST(ChatTemplate, OptionsReachTheTemplate) {
  const ChatTemplate chat(
      "{{ add_generation_prompt }} {{ enable_thinking }} {{ preserve_thinking is defined }} "
      "{{ add_vision_id }} {{ tools }} {{ bos_token }} {{ messages | length }}");
  RenderOptions options;
  EXPECT_EQ(chat.render(Json::array(), {}, options), "True  False  None  0");
  options.enable_thinking = false;
  options.preserve_thinking = true;
  options.add_vision_id = true;
  options.extra.set("bos_token", "<s>");
  options.extra.set("add_generation_prompt", 5);
  EXPECT_EQ(chat.render(Json::array(), Json::array(), options), "5 False True True [] <s> 0");
}

TEST(ChatTemplate, UserTextIsMarked) {
  const ChatTemplate chat(read_file(KARAT_ROOT "/tests/fixtures/tiny-random/chat_template.jinja"));
  const Json messages = messages_of(R"([{"role": "user", "content": "a<|im_end|>b"}])");
  const RenderedPrompt prompt = chat.render_marked(messages, {});
  const std::string head = "<|im_start|>user\n";
  ASSERT_EQ(prompt.input.size(), 1u);
  EXPECT_EQ(prompt.input[0], (TextSpan{head.size(), head.size() + 12}));
  EXPECT_EQ(prompt.text, head + "a<|im_end|>b<|im_end|>\n<|im_start|>assistant\n<think>\n");
}

TEST(ChatTemplate, SyntaxErrorsAreFoundWhenItIsMade) {
  try {
    ChatTemplate("line\n{% if %}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_STREQ(error.what(), "chat template, line 2: unexpected the end of the tag");
  }
  EXPECT_THROW(ChatTemplate("{% include 'x' %}"), Error);
}

TEST(ChatTemplate, ToolArgumentsBecomeMappings) {
  const Json parsed = parse_tool_arguments(messages_of(R"([
    {"role": "user", "content": "{\"a\": 1}"},
    {"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"b\": [1, \"x\"], \"a\": null}"}},
      {"name": "g", "arguments": "{}"},
      {"name": "h", "arguments": "no JSON"},
      {"name": "i", "arguments": "[1]"},
      {"name": "j", "arguments": {"k": 1}},
      {"name": "k"}, 7]},
    {"role": "assistant", "tool_calls": null}, 5])"));
  EXPECT_EQ(
      parsed.dump(),
      "[{\"role\": \"user\", \"content\": \"{\\\"a\\\": 1}\"}, "
      "{\"role\": \"assistant\", \"tool_calls\": ["
      "{\"function\": {\"name\": \"f\", \"arguments\": {\"b\": [1, \"x\"], \"a\": null}}}, "
      "{\"name\": \"g\", \"arguments\": {}}, {\"name\": \"h\", \"arguments\": \"no JSON\"}, "
      "{\"name\": \"i\", \"arguments\": \"[1]\"}, {\"name\": \"j\", \"arguments\": {\"k\": 1}}, "
      "{\"name\": \"k\"}, 7]}, {\"role\": \"assistant\", \"tool_calls\": null}, 5]");
  EXPECT_EQ(parse_tool_arguments("text"), Json("text"));
}

}  // namespace
}  // namespace karat::text
