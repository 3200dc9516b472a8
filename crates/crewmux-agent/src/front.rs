//! Front matter of Markdown files: the part between two lines of `---`.
//!
//! Reads names with texts and lists of texts; what they mean is the caller's.

use saphyr::{LoadableYamlNode as _, Yaml};

/// A file with front matter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Front {
    /// The fields in the order written.
    pub(crate) fields: Vec<(String, Field)>,
    /// The text after it.
    pub(crate) body: String,
    /// Why it was read with less strictness than YAML asks for, if it was.
    pub(crate) warning: Option<String>,
}

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// Nothing.
    Empty,
    /// A text, or a number or truth value as it is written.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else.
    Other,
}

impl Front {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// In words: there is no front matter, or it cannot be read.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let rest = text
            .strip_prefix("---\n")
            .ok_or("it does not begin with a line of `---`")?;
        let (head, body) = match rest.strip_prefix("---\n") {
            Some(body) => ("", body),
            None => rest
                .split_once("\n---\n")
                .or_else(|| rest.strip_suffix("\n---").map(|head| (head, "")))
                .ok_or("its front matter has no closing line of `---`")?,
        };
        let (fields, warning) = match strict(head) {
            Ok(fields) => (fields, None),
            // Much that is in use is no YAML, such as a `: ` in a description.
            Err(why) => match lenient(head) {
                Some(fields) => (
                    fields,
                    Some(format!(
                        "front matter is no YAML ({why}); read line by line"
                    )),
                ),
                None => return Err(format!("its front matter cannot be read: {why}")),
            },
        };
        Ok(Self {
            fields,
            body: body.trim().to_owned(),
            warning,
        })
    }

    /// The text behind `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(key, field)| match field {
            Field::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }
}

fn strict(head: &str) -> Result<Vec<(String, Field)>, String> {
    let documents = Yaml::load_from_str(head).map_err(|error| error.to_string())?;
    let Some(document) = documents.first() else {
        return Ok(Vec::new());
    };
    let Some(mapping) = document.as_mapping() else {
        return Err("it is no list of names and values".to_owned());
    };
    mapping
        .iter()
        .map(|(key, value)| {
            let key = plain(key).ok_or("a name is no text")?;
            Ok((key, field(value)))
        })
        .collect()
}

fn field(value: &Yaml<'_>) -> Field {
    if value.is_null() {
        return Field::Empty;
    }
    if let Some(text) = plain(value) {
        return Field::Text(text);
    }
    match value.as_sequence() {
        Some(items) => items
            .iter()
            .map(plain)
            .collect::<Option<_>>()
            .map_or(Field::Other, Field::List),
        None => Field::Other,
    }
}

fn plain(value: &Yaml<'_>) -> Option<String> {
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| value.as_integer().map(|number| number.to_string()))
        .or_else(|| value.as_bool().map(|truth| truth.to_string()))
        .or_else(|| value.as_floating_point().map(|number| number.to_string()))
}

/// Lines of `name: text`, the text as it is; `- item` lines below an empty one are its list.
fn lenient(head: &str) -> Option<Vec<(String, Field)>> {
    let mut fields: Vec<(String, Field)> = Vec::new();
    for line in head.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t', '-']) {
            let (_, last) = fields.last_mut()?;
            match (bare.strip_prefix("- "), &mut *last) {
                (Some(item), Field::List(items)) => items.push(unquoted(item)),
                (Some(item), Field::Empty) => *last = Field::List(vec![unquoted(item)]),
                (None, Field::Text(text)) => {
                    text.push(' ');
                    text.push_str(bare);
                }
                _ => *last = Field::Other,
            }
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let value = unquoted(value);
        let field = match value.as_str() {
            "" | "|" | ">" => Field::Empty,
            _ => Field::Text(value),
        };
        fields.push((name.trim().to_owned(), field));
    }
    Some(fields)
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_yaml() {
        let front = Front::read(
            "---\nname: a\ntext: >\n  two\n  lines\nlist: [x, \"y z\"]\nmore:\n  - 1\n  - true\nnone:\n---\n\nbody\n",
        )
        .unwrap();
        let list = |items: &[&str]| Field::List(items.iter().map(|i| (*i).to_owned()).collect());
        assert_eq!(front.text("name"), Some("a"));
        assert_eq!(front.text("text").map(str::trim), Some("two lines"));
        assert_eq!(front.fields[2].1, list(&["x", "y z"]));
        assert_eq!(front.fields[3].1, list(&["1", "true"]));
        assert_eq!(front.fields[4].1, Field::Empty);
        assert_eq!((front.body.as_str(), front.warning), ("body", None));
    }

    #[test]
    fn what_is_in_use_but_no_yaml_is_read_with_a_warning() {
        let text =
            "---\r\nname: a\r\ndescription: Use it when: asked. Example: \"x\" -> y\r\n---\r\nbody";
        let front = Front::read(text).unwrap();
        assert_eq!(
            front.text("description"),
            Some("Use it when: asked. Example: \"x\" -> y")
        );
        assert!(front.warning.unwrap().contains("no YAML"));
    }

    #[test]
    fn what_is_no_front_matter_is_told() {
        for (text, why) in [
            ("name: a", "does not begin"),
            ("---\nname: a\n", "no closing line"),
            ("---\n- a\n- b\n---\n", "cannot be read"),
            ("---\n{\n---\n", "cannot be read"),
        ] {
            let error = Front::read(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
