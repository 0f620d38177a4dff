//! What serde says about a value of the wrong kind, in the words of the documents it is about.

/// A fault as told to a person, and its code where the message decides it.
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) code: Option<&'static str>,
}

/// `cause` without names of Rust types. What is not about a kind or a range stays as it is.
pub(crate) fn told(cause: &str) -> Told {
    let cause = without_position(cause);
    let as_is = || Told {
        message: cause.to_owned(),
        code: None,
    };
    let fault = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| cause.strip_prefix(prefix));
    let Some((got, expected)) = fault.and_then(|fault| fault.rsplit_once(", expected ")) else {
        return as_is();
    };
    let whole = matches!(expected, "u64" | "i64" | "u32" | "u8");
    let (got, beyond) = thing(got);
    let code = (whole && beyond).then_some("out-of-range");
    let wanted = match expected {
        _ if whole && beyond => "use a whole number within the field's range, 0 or more",
        _ if whole => "use a whole number",
        "a sequence" => "use a list",
        "a string" | "a borrowed string" | "str" | "string" => "use a text",
        "a map" => "use an object",
        "option" => "use a value, or leave it out",
        other => {
            return Told {
                message: format!("{got} is not allowed; use {other}"),
                code,
            };
        }
    };
    let what = if code.is_some() {
        "out of range"
    } else {
        "not allowed"
    };
    Told {
        message: format!("{got} is {what}; {wanted}"),
        code,
    }
}

/// The value serde met, and whether it is a whole number that no field can hold.
fn thing(got: &str) -> (String, bool) {
    let inner = |prefix: &str| got.strip_prefix(prefix)?.strip_suffix('`');
    if let Some(number) = inner("integer `") {
        return (number.to_owned(), true);
    }
    if let Some(number) = inner("floating point `") {
        let fraction = number.contains('.') && !number.ends_with(".0");
        return (
            number.to_owned(),
            !fraction && (number.starts_with('-') || number.contains('e')),
        );
    }
    if let Some(flag) = inner("boolean `") {
        return (flag.to_owned(), false);
    }
    let said = match got {
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit value" | "Option value" => "null",
        other => other.strip_prefix("string ").unwrap_or(other),
    };
    (said.to_owned(), false)
}

/// Without the ` at line 1 column 20` of JSON: the field is named.
fn without_position(cause: &str) -> &str {
    match cause.rsplit_once(" at line ") {
        Some((before, position))
            if position
                .split(" column ")
                .all(|number| number.bytes().all(|digit| digit.is_ascii_digit())) =>
        {
            before
        }
        _ => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_rust_type_is_told() {
        for (cause, message, code) in [
            (
                "invalid type: floating point `1.5`, expected u64 at line 1 column 9",
                "1.5 is not allowed; use a whole number",
                None,
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "-1 is out of range; use a whole number within the field's range, 0 or more",
                Some("out-of-range"),
            ),
            (
                "invalid type: sequence, expected an object at line 1 column 0",
                "a list is not allowed; use an object",
                None,
            ),
            (
                "invalid type: string \"x\", expected a sequence",
                "\"x\" is not allowed; use a list",
                None,
            ),
            (
                "missing field `nodes` at line 2 column 1",
                "missing field `nodes`",
                None,
            ),
        ] {
            let told = told(cause);
            assert_eq!(
                (told.message.as_str(), told.code),
                (message, code),
                "{cause}"
            );
        }
    }
}
