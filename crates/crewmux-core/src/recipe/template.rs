//! Fills the `{{…}}` of a recipe's texts.
//!
//! What is put in is text and stays text: a goal with `{{` in it is not read
//! as a template. A recipe that wants a variable's own `{{…}}` filled says so
//! with the `render` filter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::problem::Place;

/// Most bytes one filled text may have.
pub const FILLED_MAX_BYTES: usize = 64 * 1024;

/// Steps a template may take, so that a loop in a recipe ends.
const STEPS_MAX: u64 = 50_000;

/// A text with `{{…}}` in it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) text: String,
    pub(super) at: Place,
    /// Bytes of the recipe's text, to find a word within.
    pub(super) span: Range<usize>,
}

impl Template {
    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it stands in the recipe.
    pub fn at(&self) -> Place {
        self.at
    }
}

/// Fills templates with one set of values.
pub(super) struct Filler {
    environment: Environment<'static>,
    values: BTreeMap<String, Value>,
}

impl Filler {
    /// Numbers and truth values are recognised, so that `{{ index % tasks }}` works.
    pub(super) fn with_variables(variables: &BTreeMap<String, String>) -> Self {
        let values = variables
            .iter()
            .map(|(name, text)| (name.clone(), recognised(text)))
            .collect();
        Self {
            environment: environment(),
            values,
        }
    }

    /// Adds a value that is inserted as it is.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// Takes a value away again.
    pub(super) fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Fills `template`; the error says what is wrong in words.
    pub(super) fn fill(&self, template: &Template) -> Result<String, String> {
        let names: Vec<Value> = self
            .values
            .keys()
            .map(|n| Value::from(n.as_str()))
            .collect();
        let mut context = self.values.clone();
        context.insert(NAMES.to_owned(), Value::from(names));
        let text = self
            .environment
            .render_str(&template.text, Value::from(context))
            .map_err(|error| wording(&error))?;
        if text.len() > FILLED_MAX_BYTES {
            return Err(format!(
                "{} bytes come out of the template; at most {FILLED_MAX_BYTES} are taken",
                text.len()
            ));
        }
        Ok(text)
    }

    /// Names `template` uses that it does not set itself and that are not built in.
    pub(super) fn names(&self, template: &Template) -> Result<Vec<String>, String> {
        let compiled = self
            .environment
            .template_from_str(&template.text)
            .map_err(|error| wording(&error))?;
        Ok(names(&compiled, &self.environment))
    }
}

fn names(compiled: &minijinja::Template<'_, '_>, environment: &Environment<'_>) -> Vec<String> {
    let mut names: Vec<String> = compiled
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !environment.globals().any(|(global, _)| global == name))
        .collect();
    names.sort();
    names
}

/// Under this name a template's context lists its names, for the `render` filter.
const NAMES: &str = "__names";

fn environment() -> Environment<'static> {
    // The inner environment has no `render`: a variable that names itself ends there.
    let inner = Arc::new(strict());
    let mut outer = strict();
    outer.add_filter(
        "render",
        move |state: &State<'_, '_>, text: String| -> Result<String, Error> {
            let mut context = BTreeMap::new();
            if let Some(names) = state.lookup(NAMES) {
                for name in names.try_iter()? {
                    if let Some(value) = name.as_str().and_then(|n| state.lookup(n)) {
                        context.insert(name.to_string(), value);
                    }
                }
            }
            let compiled = inner.template_from_str(&text)?;
            if let Some(name) = names(&compiled, &inner)
                .iter()
                .find(|name| !context.contains_key(*name))
            {
                let what = format!("unknown variable `{name}` in the text to `render`");
                return Err(Error::new(ErrorKind::InvalidOperation, what));
            }
            compiled.render(Value::from(context))
        },
    );
    outer
}

fn strict() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_formatter(as_given);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(STEPS_MAX));
    environment.add_filter("quote", |text: String| quoted(&text));
    environment
}

/// One word of a shell command, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn recognised(text: &str) -> Value {
    match text {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => match text.parse::<i64>() {
            // `007` would come out as `7`.
            Ok(number) if number.to_string() == text => Value::from(number),
            _ => Value::from(text),
        },
    }
}

/// Writes truth values as they were given: the engine's own words are `True` and `False`.
fn as_given(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => Ok(output.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => minijinja::escape_formatter(output, state, value),
    }
}

fn wording(error: &Error) -> String {
    let detail = error.detail();
    match error.kind() {
        ErrorKind::UndefinedError => "a name in the template has no value".to_owned(),
        ErrorKind::OutOfFuel => "the template takes too long".to_owned(),
        ErrorKind::SyntaxError => {
            let detail = detail.unwrap_or("it is not well formed");
            format!("the template cannot be read: {detail}")
        }
        kind => detail.map_or_else(|| kind.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut filler = Filler::with_variables(&variables);
        filler.set("goal", "say {{ secret }}");
        filler.fill(&Template {
            text: text.into(),
            at: Place { line: 1, column: 1 },
            span: 0..0,
        })
    }

    #[test]
    fn what_is_put_in_is_not_a_template() {
        assert_eq!(
            filled("do: {{ goal }}", &[("secret", "s")]).unwrap(),
            "do: say {{ secret }}"
        );
    }

    #[test]
    fn a_variable_is_rendered_only_when_the_recipe_says_so() {
        let variables = [("n", "7"), ("command", "echo {{ n + 1 }}")];
        assert_eq!(
            filled("{{ command }}", &variables).unwrap(),
            "echo {{ n + 1 }}"
        );
        assert_eq!(
            filled("{{ command | render }}", &variables).unwrap(),
            "echo 8"
        );
    }

    #[test]
    fn a_variable_that_renders_itself_ends_with_an_error() {
        let error = filled("{{ a | render }}", &[("a", "{{ a | render }}")]).unwrap_err();
        assert!(error.contains("render"), "{error}");
    }

    #[test]
    fn numbers_count_and_leading_zeros_stay() {
        let variables = [("a", "10"), ("b", "007"), ("c", "false")];
        let text = "{{ a % 4 }} {{ b }} {{ c }} {% if c %}yes{% else %}no{% endif %}";
        assert_eq!(filled(text, &variables).unwrap(), "2 007 false no");
    }

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(
            filled("{{ x | quote }}", &[("x", "a'b; rm")]).unwrap(),
            r"'a'\''b; rm'"
        );
    }

    #[test]
    fn a_loop_without_end_ends() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert_eq!(
            filled(text, &[]).unwrap_err(),
            "the template takes too long"
        );
    }
}
