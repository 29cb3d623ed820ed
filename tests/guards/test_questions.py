"""Everyday questions about pictures, in ten languages: `auto` makes no answer impossible."""

from __future__ import annotations

import pytest

from qvq_mlx.guards.language import (
    expected_scripts,
    has_letter_outside,
    held_scripts,
    leaves,
    parse_lang,
)

QUESTIONS = {
    "en": (
        "What is the title of this book?",
        "Extract the name and the address as JSON.",
        "Who painted this?",
        "What does the sign above the door say?",
        "Translate the menu into Chinese.",
        "Which station is next on the map?",
        "List the dishes with their prices.",
        "How would I ask for this in Moscow?",
        "What brand are the shoes?",
        "Copy the second line of the poem.",
    ),
    "de": (
        "Was steht auf dem Schild?",
        "Übersetze ins Chinesische.",
        "Wie heißt das Restaurant?",
        "Lies mir den Brief vor.",
        "Welche Tasten muss ich drücken?",
        "Gib Name und Anschrift als JSON aus.",
        "Wie lautet der Titel des Films?",
        "Von wem ist das Zitat an der Wand?",
        "Welche Zutaten stehen auf der Packung?",
        "In welcher Stadt wurde das aufgenommen?",
    ),
    "fr": (
        "Quel est le titre du livre ?",
        "Traduis l'étiquette.",
        "Qui est l'auteur de la lettre ?",
        "Que dit le panneau ?",
        "Recopie le tableau en Markdown.",
        "Quel est le nom de la rue ?",
        "Comment dit-on cela en japonais ?",
        "Quelle marque est visible ?",
        "Donne les ingrédients de la recette.",
        "Quel mot est souligné ?",
    ),
    "es": (
        "¿Cómo se llama la tienda?",
        "Traduce el cartel al ruso.",
        "¿Qué pone en la camiseta?",
        "Escribe el texto tal como está.",
        "¿Quién firma el documento?",
        "Extrae los datos del recibo.",
        "¿Cuál es el título del cuadro?",
        "¿De qué país es el sello?",
        "¿Qué botón abre la puerta?",
        "Lee la última frase.",
    ),
    "ru": (
        "Что написано на вывеске?",
        "Переведи на английский.",
        "Как называется книга?",
        "Перепиши таблицу.",
        "Кто автор картины?",
        "Какая марка машины?",
        "Назови станции на схеме.",
        "Что говорит человек слева?",
        "Извлеки имя и адрес.",
        "Как это читается по-японски?",
    ),
    "zh": (
        "牌子上写着什么？",
        "请翻译成英文。",
        "这本书叫什么名字？",
        "把表格抄下来。",
        "这是谁画的？",
        "这家店的日文名是什么？",
        "提取姓名和地址。",
        "第二行是什么？",
        "按钮上是什么字？",
        "用韩语怎么说？",
    ),
    "ja": (
        "看板には何と書いてありますか",
        "ハングルを読んでください",
        "この本の題名は何ですか",
        "英語に訳してください",
        "作者は誰ですか",
        "表を書き写してください",
        "ロシア語で何と言いますか",
        "住所を抜き出してください",
        "最後の行を読んでください",
        "何のブランドですか",
    ),
    "ko": (
        "간판에 뭐라고 쓰여 있나요?",
        "중국어로 번역해 주세요.",
        "이 책의 제목은 무엇인가요?",
        "표를 옮겨 적어 주세요.",
        "누가 그렸나요?",
        "주소를 뽑아 주세요.",
        "마지막 줄을 읽어 주세요.",
        "어떤 상표인가요?",
        "일본어로 어떻게 말하나요?",
        "버튼에는 무슨 글자가 있나요?",
    ),
    "ar": (
        "ماذا تقول اللافتة؟",
        "ترجم النص إلى الروسية.",
        "ما عنوان الكتاب؟",
        "انسخ الجدول.",
        "من رسم هذه اللوحة؟",
        "استخرج الاسم والعنوان.",
        "اقرأ السطر الأخير.",
        "ما اسم المحطة التالية؟",
        "ما العلامة التجارية؟",
        "كيف يقال هذا بالصينية؟",
    ),
    "hi": (
        "बोर्ड पर क्या लिखा है?",
        "इसका चीनी में अनुवाद करो।",
        "किताब का नाम क्या है?",
        "तालिका लिखो।",
        "यह चित्र किसने बनाया?",
        "नाम और पता निकालो।",
        "आख़िरी पंक्ति पढ़ो।",
        "यह कौन सा ब्रांड है?",
        "अगला स्टेशन कौन सा है?",
        "जापानी में इसे क्या कहते हैं?",
    ),
}
ANSWERS = {
    "en": "The sign says exit.",
    "de": "Über der Tür steht Ausgang.",
    "fr": "C'est marqué « sortie ».",
    "es": "Pone «salida».",
    "ru": "Там написано: выход.",
    "zh": "上面写着出口。",
    "ja": "出口と書いてあります。",
    "ko": "출구라고 쓰여 있습니다.",
    "ar": "مكتوب عليها: مخرج.",
    "hi": "लिखा है: निकास।",
}


@pytest.mark.parametrize("question", [one for many in QUESTIONS.values() for one in many])
def test_auto_makes_no_answer_impossible(question: str) -> None:
    assert len(set(question)) > 3
    assert held_scripts(parse_lang("auto")) is None
    expected = expected_scripts(question)
    for answer in ANSWERS.values():  # a name, a title or a sign is quoted
        assert not leaves(f"It is called \u201c{answer}\u201d, a name on it.", expected)


@pytest.mark.parametrize("lang", QUESTIONS)
def test_a_language_that_the_user_named_holds(lang: str) -> None:
    scripts = held_scripts(parse_lang(lang))
    assert scripts is not None
    assert not has_letter_outside(ANSWERS[lang], scripts)
    others = [
        answer for other, answer in ANSWERS.items() if other in ("ru", "zh", "ko", "ar", "hi")
    ]
    foreign = [answer for answer in others if has_letter_outside(answer, scripts)]
    assert len(foreign) >= 4


def test_an_explanation_that_left_the_questions_language_is_said() -> None:
    assert leaves("一共有三个红色的圆。", expected_scripts("How many circles?"))
    assert leaves("There are three.", expected_scripts("How many circles?")) == {}
    assert leaves("There are three.", expected_scripts("有几个圆？")) == {}


def test_the_system_message_names_languages_too() -> None:
    expected = expected_scripts("How many?", system="Always answer in Chinese.")
    assert leaves("一共有三个红色的圆。", expected) == {}
