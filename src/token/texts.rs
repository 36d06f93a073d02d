//! The texts of a request that a model reads, out of its JSON.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// What was met beside texts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    pub messages: u64,
    pub pictures: u64,
}

/// Shows each text of a request. What is no JSON has none, from there on.
pub(super) fn read(request: &str, see: &mut dyn FnMut(&str)) -> Read {
    let mut texts = Texts { see, read: Read::default() };
    let mut json = serde_json::Deserializer::from_str(request);
    // The caller made it; and a count is no place to complain.
    let _ = texts.deserialize(&mut json);
    texts.read
}

struct Texts<'f> {
    see: &'f mut dyn FnMut(&str),
    read: Read,
}

/// Members of messages and of their parts.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Member {
    Role,
    Type,
    Id,
    ToolCallId,
    ImageUrl,
    InputAudio,
    File,
    #[serde(other)]
    Text,
}

impl<'de> DeserializeSeed<'de> for &mut Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.see)(text);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(member) = members.next_key()? {
            match member {
                Member::Text => {
                    members.next_value_seed(&mut *self)?;
                    continue;
                }
                Member::Role => self.read.messages += 1,
                Member::ImageUrl | Member::InputAudio | Member::File => self.read.pictures += 1,
                Member::Type | Member::Id | Member::ToolCallId => {}
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(request: &str) -> Vec<String> {
        let mut found = Vec::new();
        read(request, &mut |text| found.push(text.to_owned()));
        found
    }

    #[test]
    fn texts_are_those_that_a_model_reads() {
        let chat = r#"[{"role":"user","content":"a\n\"b\""},{"role":"user","content":[{"type":"text","text":"c"}]},{"role":"assistant","content":null}]"#;
        assert_eq!(texts(chat), ["a\n\"b\"", "c"]);
        assert_eq!(texts(r#"["one",["two"],3,true]"#), ["one", "two"]);
        assert_eq!(texts("no json"), Vec::<String>::new());
    }
}
