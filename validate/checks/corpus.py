"""Texts on which tokenizers differ if they differ at all.

Lone surrogates are not in it: they are not text, and neither tokenizer takes them.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "empty": "",
    "one space": " ",
    "English": "The quick brown fox isn't lazy; it's 12,345.67 km away — they'll see, won't they? DON'T shout.",
    "contractions": "I'm you're he's we've she'd they'll IT'S I’m don’t 's 't 'RE ''s",
    "Chinese": "日本的首都是哪里？《红楼梦》第一回：“甄士隐梦幻识通灵”，共120回。繁體中文也要測試，𠮷野家。",
    "other scripts": "Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก 안녕하세요",
    "Japanese": "こんにちは、世界。カタカナ、ﾊﾝｶｸ、々〆ヶ。「引用」",
    "code": 'def f(x: int) -> str:\n    """Doc."""\n\treturn f"{x!r:>10}" if x != 0 else \'\'  # done\n\n\nprint(f(3)[1:-1])\n',
    "C": '#include <stdio.h>\nint main(void){for(int i=0;i<10;++i)printf("%d\\n",i);}\n',
    "JSON": '{"a":[1,2.5e-3,null],"b":{"c":"\\u00e9"}}',
    "digits": "1 12 123 1234 12345 1234567890 3.14159 1e-10 0x1F 二〇二四 ٣٤٥ ½ ² ⅷ ①",
    "spaces before digits": "a  1   22\n\n3 \t4\n 5.  6",
    "list": "Steps:\n\n1. First\n2. Second\n\n   10) Third",
    "emoji": "🙂👍🏽👩‍👩‍👧‍👦🏳️‍🌈🇮🇹🇨🇳 ☺️ ☺ ❤️‍🔥 1️⃣ 👩🏿‍🚀",
    "combining marks": "e\u0301 é n\u0303 ñ a\u0308\u0304 Z\u0351\u036b \u0e01\u0e33 \u1100\u1161\u11a8 각 \u0915\u094d\u0937",
    "compatibility forms": "ﬁ ﬂ ℌ ① ２３ Ａｂ ㎏ ㈱ Å Å Ω Ω µ μ ſ İ ı ß ẞ ŉ",
    "runs of spaces": "a  b   c    d     e      f       g        h" + " " * 33 + "i",
    "leading and trailing spaces": "   three before and three after   ",
    "tabs and newlines": "a\tb\t\tc\n\nd\n\n\n e \n  \n f\r\ng\r\rh\n\r\n \t\n",
    "unusual spaces": "a\u00a0b\u2003c\u200bd\u3000e\u2028f\u2029g\u0085h\ufeffi\u202fj\u205fk",
    "control characters": "a\x01b\x02c\x07d\x08e\x0bf\x0cg\x1bh\x1fi\x7fj\x80k\x9fl",
    "NUL": "a\x00b\x00\x00c",
    "private and unassigned": "\ue000\uf8ff\U000f0000 \u0378 \U0001fbff \ufffd \ufffe \uffff",
    "right to left": "abc \u202eإلى\u202c \u200fx\u200e \u2067y\u2069",
    "punctuation": "!?.,;:'\"`~@#$%^&*()-_=+[]{}\\|/<>…—–“”‘’«»„¿¡。，、；：？！（）【】《》·～￥",
    "repeated": "a" * 300 + "哈" * 300 + "!" * 300 + "\n" * 100 + "-" * 300,
    "looks like markup": "<s></s> <unk> <pad> [CLS] [SEP] [INST] <<SYS>> <|im_start|>user <|endoftext|> <0x0A> ▁ Ġ Ċ ##ing @@",
    "one long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 4,
    "link and path": "https://example.org/a/b?c=d&e=%20f#g user@example.org C:\\Users\\x\\y.txt ~/.config/z",
}
TEXTS["long"] = (
    "\n\n".join(TEXTS[name] for name in ("English", "Chinese", "code", "emoji", "other scripts", "C", "JSON")) * 20
)
