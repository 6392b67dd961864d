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
