//! Values on Terraform's wire: MessagePack in which an extension type stands for an unknown value.
//!
//! A value that the user configured must come back unchanged, to the last digit. So this module
//! keeps it as received ([`Raw`]), and only reads through it ([`Raw::to_json`]).

use rmpv::Value as Packed;
use serde_json::{Map, Value, json};

use super::proto::DynamicValue;
use super::schema::{Attribute, Kind};
use super::wire_error::WireError;
use crate::document::step;

/// A value as it is on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw(Packed);

/// A value as read from the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The known parts; null where a part is unknown.
    pub value: Value,
    /// JSON Pointers to the unknown parts.
    pub unknown: Vec<String>,
}

impl Raw {
    /// Returns the null value.
    pub fn null() -> Raw {
        Raw(Packed::Nil)
    }

    /// Returns the unknown value.
    fn unknown() -> Packed {
        Packed::Ext(0, vec![0])
    }

    /// Decodes a value from the wire.
    ///
    /// # Errors
    /// The bytes do not decode.
    pub fn receive(value: Option<&DynamicValue>, kind: &Kind) -> Result<Raw, WireError> {
        let Some(value) = value else { return Ok(Raw::null()) };
        if value.msgpack.is_empty() {
            if value.json.is_empty() {
                return Ok(Raw::null());
            }
            let value: Value = serde_json::from_slice(&value.json).map_err(WireError::Json)?;
            return Ok(Raw::from_json(&value, kind));
        }
        let mut bytes = value.msgpack.as_slice();
        rmpv::decode::read_value(&mut bytes).map(Raw).map_err(WireError::MessagePack)
    }

    /// Encodes the value for the wire.
    pub fn send(&self) -> Option<DynamicValue> {
        let mut msgpack = Vec::new();
        // Writing to memory does not fail.
        rmpv::encode::write_value(&mut msgpack, &in_decimal(&self.0)).unwrap_or_default();
        Some(DynamicValue { msgpack, json: Vec::new() })
    }

    /// Whether the value is null.
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_nil()
    }

    /// Reads the value as JSON.
    ///
    /// # Errors
    /// The value does not fit its schema. The host normally ensures that it does.
    pub fn to_json(&self, kind: &Kind) -> Result<Read, WireError> {
        let mut unknown = Vec::new();
        let value = read(&self.0, kind, "", &mut unknown)?;
        Ok(Read { value, unknown })
    }

    /// Packs `value`, with every attribute that its schema has.
    pub fn from_json(value: &Value, kind: &Kind) -> Raw {
        Raw(pack(value, kind))
    }

    /// Returns the same object with these attributes changed; `None` means unknown.
    #[must_use]
    pub(crate) fn with(&self, changes: &[(&str, Option<Value>)], attributes: &[Attribute]) -> Raw {
        let Packed::Map(entries) = &self.0 else { return self.clone() };
        let change = |(key, old): &(Packed, Packed)| {
            let name = key.as_str().unwrap_or_default();
            let Some((_, new)) = changes.iter().find(|(changed, _)| *changed == name) else {
                return (key.clone(), old.clone());
            };
            let known = attributes.iter().find(|attribute| attribute.name == name);
            let new = match (new, known) {
                (Some(value), Some(attribute)) => pack(value, &attribute.kind),
                _ => Raw::unknown(),
            };
            (key.clone(), new)
        };
        Raw(Packed::Map(entries.iter().map(change).collect()))
    }

    /// Returns the same object with the attributes `names` taken from `other`.
    #[must_use]
    pub(crate) fn with_those_of(&self, other: &Raw, names: &[&str]) -> Raw {
        let (Packed::Map(mine), Packed::Map(others)) = (&self.0, &other.0) else {
            return self.clone();
        };
        let of = |key: &Packed| others.iter().find(|(name, _)| name == key);
        let choose = |(key, value): &(Packed, Packed)| match of(key) {
            Some((_, theirs)) if key.as_str().is_some_and(|name| names.contains(&name)) => {
                (key.clone(), theirs.clone())
            }
            _ => (key.clone(), value.clone()),
        };
        Raw(Packed::Map(mine.iter().map(choose).collect()))
    }
}

/// Returns the same value with every number in decimal notation.
///
/// Terraform compares numbers in states with their internals, such as the precision. A number that
/// it reads from its JSON never equals one that came in binary: then each run of
/// `plan -refresh-only -detailed-exitcode` would exit with 2.
fn in_decimal(packed: &Packed) -> Packed {
    match packed {
        Packed::Integer(number) => Packed::from(number.to_string()),
        Packed::F64(number) => Packed::from(json!(number).to_string()),
        Packed::F32(number) => Packed::from(json!(number).to_string()),
        Packed::Array(items) => Packed::Array(items.iter().map(in_decimal).collect()),
        Packed::Map(entries) => {
            let entry = |(key, value): &(Packed, Packed)| (key.clone(), in_decimal(value));
            Packed::Map(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn read(
    packed: &Packed,
    kind: &Kind,
    pointer: &str,
    unknown: &mut Vec<String>,
) -> Result<Value, WireError> {
    let wrong = || WireError::OtherType(pointer.to_owned());
    Ok(match (packed, kind) {
        (Packed::Nil, _) => Value::Null,
        // No blocks: a document leaves the attribute out.
        (Packed::Array(items), Kind::Blocks(_)) if items.is_empty() => Value::Null,
        // Later protocol versions have extension types that say more about an unknown value.
        (Packed::Ext(..), _) => {
            unknown.push(pointer.to_owned());
            Value::Null
        }
        (Packed::Boolean(value), Kind::Bool) => json!(value),
        (Packed::String(text), Kind::Text) => json!(text.as_str().ok_or_else(wrong)?),
        (Packed::String(text), Kind::CountOrText) => {
            let text = text.as_str().ok_or_else(wrong)?;
            text.parse::<u32>().map_or(json!(text), |count| json!(count))
        }
        (Packed::String(text), Kind::Number) => number(text.as_str().unwrap_or_default()),
        (Packed::Integer(number), Kind::Number) => number
            .as_u64()
            .map(Value::from)
            .or(number.as_i64().map(Value::from))
            .ok_or_else(wrong)?,
        (Packed::F64(number), Kind::Number) => json!(number),
        (Packed::F32(number), Kind::Number) => json!(number),
        (Packed::Array(items), Kind::List(_) | Kind::Objects(_) | Kind::Blocks(_)) => {
            let mut list = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let place = format!("{pointer}/{index}");
                list.push(match kind {
                    Kind::List(element) => read(item, element, &place, unknown)?,
                    _ => object(item, kind.attributes(), &place, unknown)?,
                });
            }
            Value::Array(list)
        }
        (Packed::Map(entries), Kind::Map(element)) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = key.as_str().ok_or_else(wrong)?;
                let place = format!("{pointer}/{}", step(key));
                map.insert(key.to_owned(), read(value, element, &place, unknown)?);
            }
            Value::Object(map)
        }
        (Packed::Map(_), Kind::Object(attributes) | Kind::Block(attributes)) => {
            object(packed, attributes, pointer, unknown)?
        }
        _ => return Err(wrong()),
    })
}

fn object(
    packed: &Packed,
    attributes: &[Attribute],
    pointer: &str,
    unknown: &mut Vec<String>,
) -> Result<Value, WireError> {
    let entries = match packed {
        Packed::Map(entries) => entries,
        Packed::Nil => return Ok(Value::Null),
        Packed::Ext(..) => {
            unknown.push(pointer.to_owned());
            return Ok(Value::Null);
        }
        _ => return Err(WireError::NoObject(pointer.to_owned())),
    };
    let mut object = Map::new();
    for (key, value) in entries {
        let name = key.as_str().unwrap_or_default();
        let known = attributes.iter().find(|attribute| attribute.name == name);
        let known = known.ok_or_else(|| WireError::UnknownAttribute {
            name: name.to_owned(),
            pointer: pointer.to_owned(),
        })?;
        let place = format!("{pointer}/{}", step(name));
        object.insert(name.to_owned(), read(value, &known.kind, &place, unknown)?);
    }
    Ok(Value::Object(object))
}

/// Parses a number in decimal notation, which comes where no other form has all its digits.
fn number(text: &str) -> Value {
    let whole = text.parse::<u64>().map(Value::from).or(text.parse::<i64>().map(Value::from));
    whole.unwrap_or_else(|_| text.parse::<f64>().map_or(Value::Null, |number| json!(number)))
}

fn pack(value: &Value, kind: &Kind) -> Packed {
    match (value, kind) {
        (Value::Null, Kind::Blocks(_)) => Packed::Array(Vec::new()),
        (Value::Null, _) => Packed::Nil,
        (Value::Bool(value), _) => Packed::Boolean(*value),
        (Value::Number(number), Kind::Text | Kind::CountOrText) => Packed::from(number.to_string()),
        (Value::Number(number), _) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Packed::from(number),
            (None, Some(number)) => Packed::from(number),
            // The decimal form is what the user wrote; the nearest binary number differs.
            (None, None) => Packed::from(number.to_string()),
        },
        (Value::String(text), _) => Packed::from(text.as_str()),
        (Value::Array(items), Kind::List(element)) => {
            Packed::Array(items.iter().map(|item| pack(item, element)).collect())
        }
        (Value::Array(items), kind) => {
            let of = |item| pack_object(item, kind.attributes());
            Packed::Array(items.iter().map(of).collect())
        }
        (Value::Object(map), Kind::Map(element)) => {
            let entry = |(key, value): (&String, &Value)| {
                (Packed::from(key.as_str()), pack(value, element))
            };
            Packed::Map(map.iter().map(entry).collect())
        }
        (Value::Object(_), kind) => pack_object(value, kind.attributes()),
    }
}

fn pack_object(value: &Value, attributes: &[Attribute]) -> Packed {
    let entry = |attribute: &Attribute| {
        let name = attribute.name.as_str();
        (Packed::from(name), pack(&value[name], &attribute.kind))
    };
    Packed::Map(attributes.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Kind {
        let attribute = |name: &str, kind| Attribute::for_test(name, kind);
        Kind::Object(vec![
            attribute("count", Kind::CountOrText),
            attribute("list", Kind::Objects(vec![attribute("size", Kind::Number)])),
            attribute("blocks", Kind::Blocks(vec![attribute("size", Kind::Number)])),
            attribute("map", Kind::Map(Box::new(Kind::Text))),
            attribute("sigma", Kind::Number),
        ])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "count": 2, "list": [{ "size": 3 }, { "size": null }], "map": { "a/b": "x" },
            "sigma": 0.3, "blocks": null,
        });
        let raw = Raw::from_json(&value, &kind());
        let read = raw.to_json(&kind()).expect("a value");
        assert_eq!((&read.value, read.unknown.len()), (&value, 0));
        let sent = raw.send();
        let received = Raw::receive(sent.as_ref(), &kind()).expect("a value");
        assert_eq!(received.to_json(&kind()).expect("a value"), read);
        assert_eq!(received.send(), sent, "to the byte");
        let Packed::Map(entries) = &received.0 else { panic!("no object") };
        let of = |name: &str| entries.iter().find(|(key, _)| key.as_str() == Some(name));
        let list = Packed::Array(vec![
            Packed::Map(vec![("size".into(), "3".into())]),
            Packed::Map(vec![("size".into(), Packed::Nil)]),
        ]);
        assert_eq!(of("list").map(|(_, value)| value), Some(&list), "in decimal notation");
        let Packed::Map(entries) = raw.0 else { panic!("no object") };
        assert!(entries.contains(&("blocks".into(), Packed::Array(vec![]))), "never absent");
    }

    #[test]
    fn a_number_of_many_digits_comes_back_as_it_came() {
        let digits = "0.30000000000000000000000001";
        let raw = Raw(Packed::Map(vec![("sigma".into(), digits.into())]));
        assert_eq!(raw.to_json(&kind()).expect("a value").value["sigma"], json!(0.3));
        assert_eq!(raw.with(&[("count", Some(json!(1)))], kind().attributes()), raw);
    }

    #[test]
    fn what_is_unknown_has_its_place() {
        let unknown = |code| Packed::Ext(code, vec![0]);
        let list = Packed::Array(vec![Packed::Map(vec![("size".into(), unknown(12))])]);
        let map = Packed::Map(vec![("a/b".into(), unknown(0))]);
        let raw = Raw(Packed::Map(vec![("list".into(), list), ("map".into(), map)]));
        let read = raw.to_json(&kind()).expect("a value");
        assert_eq!(read.unknown, ["/list/0/size", "/map/a~1b"]);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_no_panic() {
        for packed in [
            Packed::from(3),
            Packed::Map(vec![("other".into(), Packed::Nil)]),
            Packed::Map(vec![("list".into(), Packed::Array(vec![Packed::from("x")]))]),
            Packed::Map(vec![("sigma".into(), Packed::from(true))]),
        ] {
            assert!(Raw(packed.clone()).to_json(&kind()).is_err(), "{packed:?}");
        }
    }
}
