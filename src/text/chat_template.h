// Messages -> prompt text, by the checkpoint's own Jinja template, with the semantics of
// transformers' apply_chat_template (trim_blocks and lstrip_blocks on, immutable sandbox, tojson =
// json.dumps). The template comes from a file that nobody vouches for: it runs in the bounded
// interpreter of text/jinja.h and reaches nothing but the values given here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/marked_text.h"

namespace karat::text {

class JinjaTemplate;

// What a template sees beside the messages. Absent means "not defined" for the template, which is
// not the same as false: Qwen3.6 thinks unless enable_thinking is exactly false.
struct RenderOptions {
  bool add_generation_prompt = true;
  std::optional<bool> enable_thinking;
  std::optional<bool> preserve_thinking;  // keep the reasoning of earlier turns
  std::optional<bool> add_vision_id;      // "Picture 1: " before each image
  // An object of further variables (bos_token, chat_template_kwargs of a request); these win over
  // the ones above. Null means none.
  base::Json extra;
  // As JinjaCircumstances (text/jinja_runtime.h): what errors begin with, what strftime_now tells.
  std::string place = {};
  std::optional<int64_t> clock = {};
};

// A prompt; its marks show which parts are copies of text from the messages and tools (at least
// these). A special token spelled inside a marked range is the user's text, not the template's
// markup, and should be tokenized as text.
using RenderedPrompt = MarkedText;

class ChatTemplate {
 public:
  // Parses the template. Throws Error{bad_input} "chat template, line 3: ..." for bad syntax and
  // Error{unsupported} for Jinja that chat templates have no use for (include, import, extends).
  explicit ChatTemplate(std::string source);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // `messages`: an array in OpenAI's form; `tools`: an array, or null for none. Both are handed to
  // the template as they are; see parse_tool_arguments. A template's raise_exception(text) throws
  // Error{bad_input} with exactly that text; other failures, among them exceeded limits, throw
  // Error{bad_input} "chat template, line N: ..."; each behind the options' place, if any.
  // Safe to call from several threads at once.
  RenderedPrompt render_marked(const base::Json& messages, const base::Json& tools,
                               const RenderOptions& options = {}) const;
  std::string render(const base::Json& messages, const base::Json& tools,
                     const RenderOptions& options = {}) const;

  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::unique_ptr<const JinjaTemplate> template_;
};

// OpenAI clients send the arguments of earlier tool calls as a string of JSON, templates of this
// family want a mapping (Qwen3.6 refuses anything else). Returns the messages with every such
// string that holds a JSON object replaced by the object; the rest is left as it is.
base::Json parse_tool_arguments(base::Json messages);

}  // namespace karat::text
