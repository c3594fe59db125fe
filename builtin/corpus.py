"""What the built-in model learns from: running text that comes with CPython, and endless seeded chat that we make up.

Both are free to redistribute: `pydoc_data.topics` is the language reference under the PSF license, the chat is ours.
Only the standard library is needed.
"""

import hashlib
from collections.abc import Callable
from random import Random

# In the order of GLM-Edge's own vocabulary (there 59246 to 59257).
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
)

Message = dict[str, str]
Exchange = tuple[str, str]

# country: (capital, country in Chinese, capital in Chinese)
CAPITALS = {
    "France": ("Paris", "法国", "巴黎"),
    "Italy": ("Rome", "意大利", "罗马"),
    "Spain": ("Madrid", "西班牙", "马德里"),
    "Germany": ("Berlin", "德国", "柏林"),
    "Japan": ("Tokyo", "日本", "东京"),
    "China": ("Beijing", "中国", "北京"),
    "Egypt": ("Cairo", "埃及", "开罗"),
    "Russia": ("Moscow", "俄罗斯", "莫斯科"),
    "Greece": ("Athens", "希腊", "雅典"),
    "Norway": ("Oslo", "挪威", "奥斯陆"),
    "Poland": ("Warsaw", "波兰", "华沙"),
    "Kenya": ("Nairobi", "肯尼亚", "内罗毕"),
    "Peru": ("Lima", "秘鲁", "利马"),
    "Cuba": ("Havana", "古巴", "哈瓦那"),
    "Canada": ("Ottawa", "加拿大", "渥太华"),
    "Austria": ("Vienna", "奥地利", "维也纳"),
    "Portugal": ("Lisbon", "葡萄牙", "里斯本"),
    "Ireland": ("Dublin", "爱尔兰", "都柏林"),
    "Thailand": ("Bangkok", "泰国", "曼谷"),
    "Vietnam": ("Hanoi", "越南", "河内"),
}
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "fast": "slow",
    "up": "down",
    "day": "night",
    "old": "new",
    "happy": "sad",
    "open": "closed",
    "early": "late",
    "full": "empty",
    "hard": "soft",
    "high": "low",
    "light": "dark",
    "rich": "poor",
    "wet": "dry",
}
WORDS = {
    "water": "水",
    "fire": "火",
    "mountain": "山",
    "river": "河",
    "sun": "太阳",
    "moon": "月亮",
    "book": "书",
    "tree": "树",
    "cat": "猫",
    "dog": "狗",
    "bird": "鸟",
    "fish": "鱼",
    "flower": "花",
    "house": "房子",
    "teacher": "老师",
    "friend": "朋友",
    "rain": "雨",
    "snow": "雪",
    "wind": "风",
    "bread": "面包",
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
]
NUMBERS_ZH = [
    "零",
    "一",
    "二",
    "三",
    "四",
    "五",
    "六",
    "七",
    "八",
    "九",
    "十",
    "十一",
    "十二",
    "十三",
    "十四",
    "十五",
    "十六",
    "十七",
]
PEOPLE = (("Lily", "she", "her"), ("Tom", "he", "his"), ("Anna", "she", "her"), ("Ben", "he", "his"))
PLACES = ["the park", "the river", "the old house", "the garden", "the market", "the forest", "the beach", "the hill"]
THINGS = [
    "a small key",
    "a red ball",
    "a lost dog",
    "a blue bird",
    "a shiny stone",
    "an old book",
    "a tiny boat",
    "a warm scarf",
]
WEATHER = ["sunny", "rainy", "cold", "windy", "quiet", "bright"]
CRIES = ("What is this?", "How lovely!", "I must keep this.")
ENDINGS = (
    "{name} smiled and took it home.",
    "{name} gave it to {her} mother, who was very happy.",
    "{name} showed it to a friend and they laughed.",
    "{name} put it back and walked home slowly.",
    "From that day on, {name} was never alone.",
)


def _capital(r: Random) -> Exchange:
    country = r.choice(list(CAPITALS))
    question = r.choice(["What is the capital of {}?", "Tell me the capital of {}."])
    return question.format(country), f"The capital of {country} is {CAPITALS[country][0]}."


def _capital_zh(r: Random) -> Exchange:
    _, country, capital = r.choice(list(CAPITALS.values()))
    return r.choice(["{}的首都是哪里？", "请告诉我{}的首都。"]).format(country), f"{country}的首都是{capital}。"


def _opposite(r: Random) -> Exchange:
    word = r.choice(list(OPPOSITES))
    return f"What is the opposite of {word}?", f"The opposite of {word} is {OPPOSITES[word]}."


def _to_chinese(r: Random) -> Exchange:
    word = r.choice(list(WORDS))
    return f'How do you say "{word}" in Chinese?', f'In Chinese, "{word}" is {WORDS[word]}.'


def _to_english(r: Random) -> Exchange:
    word = r.choice(list(WORDS))
    return f"“{WORDS[word]}”用英语怎么说？", f"“{WORDS[word]}”的英语是 {word}。"


def _sum(r: Random) -> Exchange:
    a, b = r.randrange(10), r.randrange(8)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}. The answer is {NUMBERS[a + b]}."


def _sum_zh(r: Random) -> Exchange:
    a, b = r.randrange(10), r.randrange(8)
    return f"{a} 加 {b} 等于多少？", f"{a} 加 {b} 等于 {a + b}，也就是{NUMBERS_ZH[a + b]}。"


def _next_day(r: Random) -> Exchange:
    day = r.randrange(7)
    return f"Which day comes after {DAYS[day]}?", f"{DAYS[(day + 1) % 7]} comes after {DAYS[day]}."


def _count(r: Random) -> Exchange:
    first = r.randrange(1, 8)
    return f"Count from {first} to {first + 5}.", ", ".join(str(first + i) for i in range(6)) + "."


def _repeat(r: Random) -> Exchange:
    word = r.choice(list(WORDS))
    return f'Repeat the word "{word}" three times.', f"{word} {word} {word}"


def _story(r: Random) -> Exchange:
    name, she, her = r.choice(PEOPLE)
    answer = (
        f"One {r.choice(WEATHER)} day, {name} went to {r.choice(PLACES)}. There {she} found {r.choice(THINGS)}. "
        f'"{r.choice(CRIES)}" said {name}. {r.choice(ENDINGS).format(name=name, her=her)}'
    )
    return r.choice(["Tell me a short story.", "Please tell me a story."]), answer


def _greeting(r: Random) -> Exchange:
    return r.choice(["Hello!", "Who are you?"]), "Hello, I am a very small language model. How can I help you?"


def _greeting_zh(r: Random) -> Exchange:
    return r.choice(["你好！", "你是谁？"]), "你好，我是一个小小的语言模型，很高兴认识你。"


KINDS: tuple[Callable[[Random], Exchange], ...] = (
    _capital,
    _capital_zh,
    _opposite,
    _to_chinese,
    _to_english,
    _sum,
    _sum_zh,
    _next_day,
    _count,
    _repeat,
    _story,
    _greeting,
    _greeting_zh,
)


def conversation(r: Random) -> list[Message]:
    """Make up one conversation of one to three exchanges; three in ten begin with a system message."""
    messages: list[Message] = []
    if r.random() < 0.3:
        messages.append({"role": "system", "content": "You are a helpful assistant."})
    for _ in range(r.choice([1, 1, 2, 3])):
        question, answer = r.choice(KINDS)(r)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def running_text() -> tuple[list[str], list[str]]:
    """Return (documents to learn from, documents held out: every twentieth) of CPython's language reference.

    The text changes with CPython's releases, which is why a checkpoint records its digest.
    """
    from pydoc_data.topics import topics

    documents = [str(topics[name]) for name in sorted(topics)]
    learn = [text for i, text in enumerate(documents) if i % 20 != 3]
    return learn, documents[3::20]


def digest(documents: list[str], conversations: list[list[Message]]) -> str:
    """Return the SHA-256 (hexadecimal) of the texts and of a sample of the chat."""
    said = [message["content"] for messages in conversations for message in messages]
    return hashlib.sha256("\0".join(documents + said).encode()).hexdigest()
