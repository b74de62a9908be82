//! YAML against JSON.

use serde_json::json;

use super::parse;

/// One document, as compact JSON, or the error.
fn check(yaml: &str, expected: &str) {
    let found = match parse(yaml) {
        Ok(documents) => documents.iter().map(|it| it.value.to_string()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{yaml}");
}

#[test]
fn scalars_are_those_of_yaml_1_1() {
    check("[y, Y, yes, Yes, YES, on, On, true, TRUE]", "[true,true,true,true,true,true,true,true,true]");
    check("[n, N, no, No, NO, off, Off, false, FALSE]", "[false,false,false,false,false,false,false,false,false]");
    check("['yes', \"no\", yEs, oN]", r#"["yes","no","yEs","oN"]"#);
    check("[~, null, Null, NULL, nUll]", r#"[null,null,null,null,"nUll"]"#);
    check("a:\nb: 1", r#"{"a":null,"b":1}"#);
    check("[0777, 0o777, 0x1F, 0b101, 1_000, +1, -0b11, 08, 0]", "[511,511,31,5,1000,1,-3,8,0]");
    check("[1.0, 1.5, 1e3, .5, -1.5e-3, 1., 1_0.5]", "[1,1.5,1000,0.5,-0.0015,1,10.5]");
    check("[1:30, 1.2.3, 0x, 1e, ., +-1, .inf]", r#"["1:30","1.2.3","0x","1e",".","+-1",".inf"]"#);
    check("[2018-08-01, 2018-08-01 09:57:43+00:00]", r#"["2018-08-01","2018-08-01 09:57:43+00:00"]"#);
    check("[18446744073709551615, -9223372036854775808]", "[18446744073709551615,-9223372036854775808]");
    check("[!!str 1, !!int 1, !foo yes]", r#"["1",1,"yes"]"#);
    check("!!int x", "line 1, column 7: \"x\" is not a int");
    check(r#"{"a": "\u00e9\ud83d\ude00\/", "b": [1, true, null]}"#, r#"{"a":"é😀/","b":[1,true,null]}"#);
}

#[test]
fn keys_become_text_and_stand_once() {
    check("{1: a, yes: b, 1.5: c}", r#"{"1":"a","1.5":"c","true":"b"}"#);
    check("a: 1\nb: 2\na: 3", "line 3, column 1: key \"a\" stands twice in this mapping");
    check("? [a]\n: 1", "line 1, column 3: a key that is not a scalar");
    check("null: 1", "line 1, column 1: null is not a key");
}

#[test]
fn aliases_and_merge_keys_are_replaced() {
    check("a: &a [1, 2]\nb: *a", r#"{"a":[1,2],"b":[1,2]}"#);
    check("a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a", r#"{"a":{"true":2,"x":1},"b":{"true":3,"x":1}}"#);
    check(
        "a: &a {p: 1}\nb: &b {p: 2, q: 2}\nc:\n  <<: [*a, *b]",
        r#"{"a":{"p":1},"b":{"p":2,"q":2},"c":{"p":1,"q":2}}"#,
    );
    check("a: &a [*a]", "line 1, column 8: alias of something that holds the alias");
    check("<<: 1", "line 1, column 5: \"<<\" takes a mapping or a list of mappings");
}

#[test]
fn a_file_holds_documents() {
    check("# nothing", "");
    check("---\n---\na: 1\n...\n---\n- 2\n", r#"{"a":1} [2]"#);
    let lines: Vec<usize> = parse("# x\n\na: 1\n---\n# y\nb: 2\n").unwrap().iter().map(|it| it.line).collect();
    assert_eq!(lines, [3, 6]);
    assert_eq!(parse("a: |\n  x\n  y\n").unwrap()[0].value, json!({"a": "x\ny\n"}));
}

#[test]
fn bad_files_are_refused_with_the_place() {
    check("a: [1", "line 1, column 4: unclosed bracket '['");
    check("a: b: c", "line 1, column 5: mapping values are not allowed in this context");
    check("a: *b", "line 1, column 4: while parsing node, found unknown anchor");
    let deep = "[".repeat(150) + &"]".repeat(150);
    check(&deep, "line 1, column 102: nested deeper than 100");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert_eq!(parse(&bomb).unwrap_err().problem, "too large once its aliases are replaced");
}
