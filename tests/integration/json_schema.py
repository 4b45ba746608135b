"""Our own JSON schemas, checked by the standard library alone."""

import re

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}
KNOWN = {"$schema", "$defs", "title", "description", "$ref", "type", "const", "enum", "minimum", "maximum", "pattern",
         "required", "properties", "additionalProperties", "items", "$id", "minItems", "maxItems", "minLength"}


def is_kind(value, kind):
    return isinstance(value, KINDS[kind]) and (kind in ("boolean",) or not isinstance(value, bool))


def errors(value, schema, root, path="$"):
    """What of value does not fit schema, a part of root; the words of JSON Schema that ours use, and no others."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return errors(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_kind(value, kind) for kind in kinds):
        return [f"{path}: {value!r} is no {kinds}"]
    found = []
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r}")
    if value is not None and not schema.get("minimum", float("-inf")) <= (value if is_kind(value, "number") else 0) <= schema.get("maximum", float("inf")):
        found.append(f"{path}: {value!r} is out of its range")
    if isinstance(value, (str, list)):
        low, high = schema.get("minItems", schema.get("minLength", 0)), schema.get("maxItems", float("inf"))
        if not low <= len(value) <= high:
            found.append(f"{path}: {len(value)} long")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: {value!r} is not like {schema['pattern']}")
    if isinstance(value, list):
        for i, item in enumerate(value):
            found += errors(item, schema.get("items", {}), root, f"{path}[{i}]")
    if isinstance(value, dict):
        found += [f"{path}.{key} is not there" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            rule = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
            if rule is False:
                found.append(f"{path}.{key} is unknown")
            elif rule is not True:
                found += errors(item, rule, root, f"{path}.{key}")
    return found
