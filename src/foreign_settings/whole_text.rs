//! A text in JSON or YAML as values.

use serde_json::Value;

use crate::document::{Diagnostic, Syntax, duplicates, looks_like};

/// Reads JSON, or the documents of a YAML stream; those that are empty are left out.
///
/// # Errors
/// Says why it is neither.
pub(super) fn read(text: &str) -> Result<Vec<Value>, Vec<Diagnostic>> {
    let wrong = |summary: String, remedy: &str| {
        Err(vec![Diagnostic::error("", summary).with_remedy(remedy)])
    };
    let no_json = match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let twice = duplicates(text);
            let found = twice.iter().map(|it| Diagnostic::error(&it.pointer, it.to_string()));
            let found: Vec<_> = found.map(|it| it.with_remedy("keep one of them")).collect();
            return if found.is_empty() { Ok(vec![value]) } else { Err(found) };
        }
        Err(error) => error,
    };
    if text.trim().is_empty() {
        return wrong("there is nothing to convert: the input is empty".into(), SHAPES);
    }
    if looks_like(text) == Some(Syntax::Hcl) {
        let summary = "this looks like HCL, and only JSON and YAML are read".to_owned();
        let remedy = "write the block in Terraform's JSON syntax, {\"instance_refresh\": [{...}]} \
                      for instance";
        return wrong(summary, remedy);
    }
    let strict = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    match serde_saphyr::from_multiple_with_options::<Value>(text, strict) {
        Ok(documents) => Ok(documents.into_iter().filter(|value| !value.is_null()).collect()),
        Err(_) if text.trim_start().starts_with(['{', '[']) => {
            wrong(format!("this is not JSON: {no_json}"), "see that the file is complete")
        }
        Err(error) => wrong(format!("this is neither JSON nor YAML: {error}"), SHAPES),
    }
}

/// What is known, as a remedy.
pub(super) const SHAPES: &str = "give one of these, in JSON or YAML: option settings of Elastic Beanstalk (a list of Namespace, \
     OptionName and Value, OptionSettings, the answer of DescribeConfigurationSettings, \
     option_settings of .ebextensions, or Terraform's blocks setting), a Deployment or StatefulSet \
     of Kubernetes, preferences of an instance refresh (MinHealthyPercentage, ...), an \
     aws_autoscaling_group with instance_refresh, or minimumHealthyHosts of CodeDeploy";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> String {
        read(text).expect_err("no settings")[0].to_string()
    }

    #[test]
    fn json_and_yaml_are_read_and_anything_else_is_named() {
        let (one, two) = (json!({ "a": [1, "x"] }), json!({ "b": true }));
        assert_eq!(read("{\"a\": [1, \"x\"]}"), Ok(vec![one.clone()]));
        assert_eq!(read("# c\na:\n- 1\n- x\n---\n---\nb: true\n"), Ok(vec![one, two]));
        assert_eq!(read("a: yes\n"), Ok(vec![json!({ "a": "yes" })]));
        assert!(refused(" ").contains("the input is empty"));
        assert!(refused("{\"a\": ").contains("this is not JSON: EOF"));
        assert!(refused("{\"a\": 1, \"a\": 2}").starts_with("error at /a: "));
        assert!(refused("a: [1\nb: ]]").contains("neither JSON nor YAML"));
        assert!(refused("a: 1\na: 2\n").contains("neither JSON nor YAML"));
        assert!(refused("instance_refresh {\n}\n").contains("this looks like HCL"));
    }

    #[test]
    fn a_text_that_would_grow_without_bound_is_refused() {
        let line =
            |n: u32| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
        let bomb: String =
            std::iter::once("a0: &a0 [x]\n".to_owned()).chain((1..10).map(line)).collect();
        assert!(refused(&bomb).contains("neither JSON nor YAML"));
    }
}
