"""Holds what a server writes against the schemas of the protocol, `schemas/openrpc.json`.

A small reader of JSON Schema, so that the suite needs nothing but Python. It knows the keywords that
these schemas use, and refuses any other rather than to pass over it.
"""

import json
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, os.pardir, os.pardir, "schemas", "openrpc.json")

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
    ),
}
# What says nothing about whether a value fits. A format is an annotation, too.
SILENT = {"description", "title", "default", "examples", "format", "x-sensitive"}


class Wrong(Exception):
    """A value that does not fit: where, and why."""


def same(one, other):
    """Whether two JSON values are equal. Python's own equality calls 1 and True the same."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class Schemas:
    def __init__(self):
        with open(FILE, encoding="utf-8") as file:
            self.document = json.load(file)
        self.methods = {method["name"]: method for method in self.document["methods"]}

    def wrong_in_result(self, request, value):
        """Returns why `value` is no result of `request`, or None."""
        method = request.get("method")
        known = self.methods.get(method) if isinstance(method, str) else None
        if known is None or not known.get("result"):
            return None
        why = self.why(known["result"]["schema"], value)
        # A result returns what it was given as it is, be that of a later version.
        params = request.get("params")
        if why and isinstance(params, dict) and self.params(method, params):
            return None
        return why

    def params(self, method, params):
        """Returns why `params` are not those of the notification `method`, or None."""
        for param in self.methods.get(method, {}).get("params", []):
            name = param["name"]
            if name not in params:
                if param.get("required"):
                    return "/%s is missing" % name
                continue
            why = self.why(param["schema"], params[name], "/" + name)
            if why:
                return why
        return None

    def why(self, schema, value, where=""):
        try:
            self.fits(schema, value, where)
        except Wrong as wrong:
            return str(wrong)
        return None

    def fits(self, schema, value, where):
        if schema is True:
            return
        if schema is False:
            raise Wrong("%s is not allowed" % where)
        for keyword, said in schema.items():
            if keyword not in SILENT:
                rule = getattr(self, "_" + keyword.lstrip("$"), None)
                if rule is None:
                    raise Wrong("the suite does not know the keyword %s of the schemas" % keyword)
                rule(said, value, where, schema)

    def _ref(self, said, value, where, _):
        found = self.document
        for part in said.lstrip("#/").split("/"):
            found = found[part]
        self.fits(found, value, where)

    def _type(self, said, value, where, _):
        names = said if isinstance(said, list) else [said]
        if not any(TYPES[name](value) for name in names):
            raise Wrong("%s must be %s, is %.80r" % (where, " or ".join(names), value))

    def _properties(self, said, value, where, _):
        if isinstance(value, dict):
            for name, schema in said.items():
                if name in value:
                    self.fits(schema, value[name], "%s/%s" % (where, name))

    def _additionalProperties(self, said, value, where, schema):
        if isinstance(value, dict):
            for name in set(value) - set(schema.get("properties", {})):
                self.fits(said, value[name], "%s/%s" % (where, name))

    def _required(self, said, value, where, _):
        if isinstance(value, dict):
            for name in said:
                if name not in value:
                    raise Wrong("%s/%s is missing" % (where, name))

    def _items(self, said, value, where, _):
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.fits(said, item, "%s/%d" % (where, index))

    def _uniqueItems(self, said, value, where, _):
        if said and isinstance(value, list):
            if len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
                raise Wrong("%s has an item twice" % where)

    def _anyOf(self, said, value, where, _):
        found = [self.why(schema, value, where) for schema in said]
        if all(found):
            raise Wrong("%s fits nothing that it may be: %s" % (where, "; ".join(found)))

    def _oneOf(self, said, value, where, _):
        found = [self.why(schema, value, where) for schema in said]
        if sum(why is None for why in found) != 1:
            told = "; ".join(why for why in found if why) or "several"
            raise Wrong("%s fits not just one of what it may be: %s" % (where, told))

    def _const(self, said, value, where, _):
        if not same(said, value):
            raise Wrong("%s must be %r" % (where, said))

    def _enum(self, said, value, where, _):
        if not any(same(one, value) for one in said):
            raise Wrong("%s must be one of %s, is %.80r" % (where, said, value))

    def _minimum(self, said, value, where, _):
        if TYPES["number"](value) and value < said:
            raise Wrong("%s is below %s" % (where, said))

    def _maximum(self, said, value, where, _):
        if TYPES["number"](value) and value > said:
            raise Wrong("%s is above %s" % (where, said))

    def _minLength(self, said, value, where, _):
        if isinstance(value, str) and len(value) < said:
            raise Wrong("%s is too short" % where)

    def _pattern(self, said, value, where, _):
        if isinstance(value, str) and not re.search(said, value):
            raise Wrong("%s must match %s, is %.80r" % (where, said, value))


SCHEMAS = Schemas()
