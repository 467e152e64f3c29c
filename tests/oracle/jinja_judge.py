#!/usr/bin/env python3
"""Renders templates with jinja2, set up as transformers does for chat templates.

stdin: JSON {"cases": [{"template": ..., "variables": {...}}, ...]}
stdout: JSON list of {"text": ...} or {"error": "Type: message"}, one per case.
Exit status 77, with the reason on stderr, if jinja2 is not installed (Debian: python3-jinja2).
"""
import json
import sys

try:
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("python3-jinja2 is not installed", file=sys.stderr)
    sys.exit(77)


class Generation(Extension):
    """{% generation %}: marks text for training, prints its body."""
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = raise_exception
    return env


def judge(env, template, variables, compiled={}):  # the default keeps what was compiled
    try:
        if template not in compiled:
            compiled[template] = env.from_string(template)
        return {"text": compiled[template].render(**variables)}
    except Exception as error:  # whatever it is, it is the result
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    env = environment()
    cases = json.load(sys.stdin)["cases"]
    json.dump([judge(env, case["template"], case["variables"]) for case in cases], sys.stdout,
              ensure_ascii=False)


if __name__ == "__main__":
    main()
