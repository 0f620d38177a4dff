//! One spec a line, one answer a line.

use std::io::{self, BufRead, Read, Write};

use serde_json::json;

use crate::{Answer, Refusal, Request};

/// Answers every line of `input` on a line of `output`, flushed before the next is read, so that
/// a program may talk to it line by line.
///
/// A refused line is answered by `{"error":{"code","message","field","value"}}`, one of more than
/// `line_bytes_max` bytes without being kept; blank lines are skipped.
///
/// # Errors
/// When reading or writing fails.
pub fn answer_lines(
    mut input: impl BufRead,
    mut output: impl Write,
    line_bytes_max: u64,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // One more for the line feed, and one more to tell a full line from one that is longer.
        let read = (&mut input)
            .take(line_bytes_max + 2)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 > line_bytes_max {
            skip_line(&mut input)?;
        }
        if line.iter().all(u8::is_ascii_whitespace) && line.len() as u64 <= line_bytes_max {
            continue;
        }
        match request(&line, line_bytes_max).and_then(|request| Ok((request.plan()?, request))) {
            Ok((plan, request)) => {
                serde_json::to_writer(&mut output, &Answer::new(&request, &plan))?;
            }
            Err(refusal) => serde_json::to_writer(&mut output, &json!({ "error": refusal }))?,
        }
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

fn request(line: &[u8], line_bytes_max: u64) -> Result<Request, Refusal> {
    if line.len() as u64 > line_bytes_max {
        return Err(Refusal::too_long(line_bytes_max));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let message = format!(
            "not UTF-8 from byte {} on; write JSON in UTF-8",
            error.valid_up_to()
        );
        Refusal::whole("malformed-json", message)
    })?;
    Request::from_json(text)
}

/// Drops the rest of a line that is too long, without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Ok(());
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(held.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"partitions":2,"replication_factor":1,"nodes":[{"id":"a"}]}"#;

    fn answers(input: &[u8], line_bytes_max: u64) -> Vec<serde_json::Value> {
        let mut output = Vec::new();
        answer_lines(input, &mut output, line_bytes_max).unwrap();
        let text = String::from_utf8(output).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_line_is_answered_on_its_own_and_blank_ones_are_skipped() {
        let input = format!("{GOOD}\n\n  \r\n{{\n{GOOD}\r\nnull\n{GOOD}");
        let answers = answers(input.as_bytes(), 1 << 20);
        let good: Vec<bool> = answers
            .iter()
            .map(|answer| answer["error"].is_null())
            .collect();
        assert_eq!(good, [true, false, true, false, true]);
        assert_eq!(answers[1]["error"]["code"], "malformed-json");
        assert_eq!(answers[1]["error"]["field"], serde_json::Value::Null);
        assert_eq!(answers[0]["count"], 2);
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_the_next_is_answered() {
        let long = format!("{}{GOOD}", " ".repeat(200));
        for (line, refused) in [(long.clone(), true), (GOOD.to_owned(), false)] {
            let answers = answers(format!("{line}\n{GOOD}\n").as_bytes(), 80);
            assert_eq!(answers.len(), 2);
            assert_eq!(answers[0]["error"]["code"] == "too-long", refused);
            assert_eq!(answers[1]["count"], 2);
        }
        let blank = " ".repeat(200);
        assert_eq!(answers(format!("{blank}\n{GOOD}").as_bytes(), 80).len(), 2);
    }

    #[test]
    fn the_limit_is_met_exactly() {
        let limit = GOOD.len() as u64;
        for end in ["", "\n"] {
            assert_eq!(
                answers(format!("{GOOD}{end}").as_bytes(), limit)[0]["count"],
                2
            );
            let short = answers(format!("{GOOD}{end}").as_bytes(), limit - 1);
            assert_eq!(
                (short.len(), short[0]["error"]["code"] == "too-long"),
                (1, true)
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(
            answers(b"{\"a\xff\":1}\n", 100)[0]["error"]["code"],
            "malformed-json"
        );
    }
}
