//! Pages for people, in Chinese and English at once: a frame, and texts made harmless. What stands in them is the commands' business.

/// A whole page around this body, which is HTML already.
pub fn framed(chinese: &str, english: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"zh-CN\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{chinese} · {english}</title>\n\
         <style>body{{font:18px/1.6 sans-serif;margin:1rem}}td,th{{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #ccc}}</style>\n\
         <h1>{chinese}<br><small>{english}</small></h1>\n{body}</html>\n"
    )
}

/// Text that can stand in a page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Rows of a table: in Chinese, in English, and what.
pub fn table(rows: &[(&str, &str, String)]) -> String {
    let row =
        |(chinese, english, what): &(&str, &str, String)| format!("<tr><th>{chinese} {english}</th><td>{}</td></tr>\n", escaped(what));
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// Below what stands beside a signed file.
pub fn what_counts(signature: &str) -> String {
    let text = "有效的是旁边签名的 JSON 文件。 · The signed JSON file beside this page is what counts.";
    format!("<p>{text}<br><small>{}</small></p>", escaped(signature))
}
