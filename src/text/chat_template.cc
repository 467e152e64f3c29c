#include "text/chat_template.h"

#include <algorithm>

#include "text/jinja.h"

namespace karat::text {

using base::Json;

ChatTemplate::ChatTemplate(std::string source)
    : source_(std::move(source)),
      template_(std::make_unique<const JinjaTemplate>(source_, "chat template")) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

RenderedPrompt ChatTemplate::render_marked(const Json& messages, const Json& tools,
                                           const RenderOptions& options) const {
  const Json generation = options.add_generation_prompt, documents;
  const auto flag = [](const std::optional<bool>& value) { return Json(value.value_or(false)); };
  const Json thinking = flag(options.enable_thinking), preserve = flag(options.preserve_thinking),
             vision = flag(options.add_vision_id);
  std::vector<JinjaTemplate::Variable> variables;
  // Further variables come first: the first of a name is the one that is found.
  if (!options.extra.is_null()) {
    for (const auto& [name, value] : options.extra.as_object()) {
      variables.push_back({name, &value, false});
    }
  }
  variables.push_back({"messages", &messages, true});
  variables.push_back({"tools", &tools, true});
  variables.push_back({"documents", &documents, true});
  variables.push_back({"add_generation_prompt", &generation, false});
  if (options.enable_thinking) variables.push_back({"enable_thinking", &thinking, false});
  if (options.preserve_thinking) variables.push_back({"preserve_thinking", &preserve, false});
  if (options.add_vision_id) variables.push_back({"add_vision_id", &vision, false});
  return template_->render(variables, {options.place, options.clock});
}

std::string ChatTemplate::render(const Json& messages, const Json& tools,
                                 const RenderOptions& options) const {
  return render_marked(messages, tools, options).text;
}

namespace {

// The member of an object, or null; null too if the value is no object.
Json* member(Json& value, std::string_view name) {
  if (!value.is_object()) return nullptr;
  for (auto& [key, item] : value.as_object()) {
    if (key == name) return &item;
  }
  return nullptr;
}

void parse_arguments(Json& call) {
  Json* function = member(call, "function");
  Json* arguments = member(function != nullptr ? *function : call, "arguments");
  if (arguments == nullptr || !arguments->is_string()) return;
  auto parsed = base::try_parse_json(arguments->as_string());
  if (parsed && parsed->is_object()) *arguments = std::move(*parsed);
}

}  // namespace

Json parse_tool_arguments(Json messages) {
  if (!messages.is_array()) return messages;
  for (Json& message : messages.as_array()) {
    Json* calls = member(message, "tool_calls");
    if (calls == nullptr || !calls->is_array()) continue;
    for (Json& call : calls->as_array()) parse_arguments(call);
  }
  return messages;
}

}  // namespace karat::text
