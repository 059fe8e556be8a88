//! `/`: the page to look at, one answer that needs nothing else. Its parts are files of `page/`, put together here; what it shows, it asks `/v1` for.

pub(super) const PATH: &str = "/";

pub(super) const TEXT: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">",
    include_str!("page/words.js"),
    include_str!("page/ask.js"),
    include_str!("page/charts.js"),
    include_str!("page/watch.js"),
    include_str!("page/keys.js"),
    include_str!("page/entry.js"),
    include_str!("page/start.js"),
    "</script>\n</body>\n</html>\n",
);

/// The script and the style above, by what they are, and nothing else; nothing is asked of anybody but this daemon. `tests/page` says
/// what the hashes have to be.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'sha256-YHhSACsU8WV01X1opqAtwcw+eFS67wvN50cjGGdzfMQ='; style-src 'sha256-ekwo8Ky2HX6DXGQstME4nbjiQFvj8z3ApyBMOXBA/Cg='; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
