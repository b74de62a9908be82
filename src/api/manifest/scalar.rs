//! What a scalar without quotes means, by the rules of go-yaml v2 (`resolve.go`): YAML 1.1 booleans, `y` and `n` among
//! them, octal numbers with `0` and `0o`, underscores in numbers. Timestamps stay text.

use serde_json::{Number, Value};

/// A scalar that has been understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// A number that JSON cannot hold, as it was written.
    NotFinite(String),
    Text(String),
}

impl Scalar {
    /// As a value. What JSON cannot hold is text.
    pub fn into_value(self) -> Value {
        match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(truth) => Value::Bool(truth),
            Scalar::Number(number) => Value::Number(number),
            Scalar::NotFinite(text) | Scalar::Text(text) => Value::String(text),
        }
    }

    /// As the key of an object.
    pub fn into_key(self) -> Result<String, String> {
        match self {
            Scalar::Null => Err("null is not a key".into()),
            Scalar::Bool(truth) => Ok(truth.to_string()),
            Scalar::Number(number) => Ok(number.to_string()),
            Scalar::NotFinite(text) | Scalar::Text(text) => Ok(text),
        }
    }
}

/// A scalar without quotes and without a tag.
pub fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Scalar::NotFinite(text.to_owned()),
        _ => (),
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        Some(_) | None => None,
    };
    number.unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

/// A scalar with a tag of YAML's own: `!!KIND`.
pub fn tagged(text: &str, kind: &str) -> Result<Scalar, String> {
    let plain = plain(text);
    match (kind, &plain) {
        ("str", _) => Ok(Scalar::Text(text.to_owned())),
        ("null", Scalar::Null) | ("bool", Scalar::Bool(_)) | ("int" | "float", Scalar::Number(_)) => Ok(plain),
        _ => Err(format!("{text:?} is not a {kind}")),
    }
}

/// Decimal, or with `0x`, `0o`, `0b` or a plain `0` in front.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (digits, radix) = match prefix.as_deref() {
        Some("0x") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        Some(octal) if octal.starts_with('0') => (&digits[1..], 8),
        Some(_) | None => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    let number = if negative { i64::try_from(-i128::from(magnitude)).ok()?.into() } else { magnitude.into() };
    Some(Scalar::Number(number))
}

/// Decimal, with an exponent or without. A whole number is an integer, as JSON written by Go has it: `1.0` is `1`.
fn float(text: &str) -> Option<Scalar> {
    // Whole numbers up to here are exact; beyond, Go's own writing differs from integers too.
    const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let sound = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_sound = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !sound || !exponent_sound {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return Some(Scalar::Number(Number::from(value as i64)));
    }
    Some(Number::from_f64(value).map_or_else(|| Scalar::NotFinite(text.to_owned()), Scalar::Number))
}
