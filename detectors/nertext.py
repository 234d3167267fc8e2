"""Made-up sentences with names marked, in many styles: what the embedded name finder learns from.

Nobody here exists and nothing is taken from anywhere: the frames were written for this file, names, places and
companies come from Faker's lists of many countries. Most sentences are put together from small parts, because what such
a model learns is limited by how many different surroundings of a name it sees, not by how long it trains.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Marked = tuple[str, list[tuple[int, int]]]
"""A text, and where the names of people stand in it."""

LOCALES = (
    "en_US en_GB en_IN en_NZ de_DE de_AT fr_FR es_ES es_MX it_IT nl_NL pt_BR pt_PT pl_PL cs_CZ "
    "sk_SK hu_HU fi_FI sv_SE no_NO da_DK sl_SI hr_HR ro_RO tr_TR et_EE lv_LV lt_LT id_ID vi_VN "
    "tw_GH"
).split()
_TONGUES = ("de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL")
_ENGLISH = 0.8  # of the sentences of words drawn at random; the rest is of other languages
_CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.title)
_ROMAN = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "a b v g d e yo zh z i y k l m n o p r s t u f kh ts ch sh shch . y . e yu ya".split(),
        strict=True,
    )
)
_SYLLABLES = (
    "ba be bo da de do fa fi ga go ha he hi jo ka ke ki la le li lo ma me mi mo na ne ni no pa "
    "pe ra re ri ro sa se shi so ta te ti to va ve vi wa wo ya ye yo za ze an en in on ar er or "
    "al el ol ash eth ulf gar mund rik wen"
).split()
_DRAWN = 300  # given names, and as many family names, of each country
_TITLES = (
    "Mr. Mrs. Ms. Miss Dr. Prof. Mr Mrs Ms Dr Sir Lady Captain Sergeant Judge Senator Father "
    "Sister Coach"
).split()
_VERBS = (
    "called;signed the form;left early;moved out;paid the bill;wrote the report;asked for help;"
    "lost the keys;plays the cello;has arrived;won the race;cannot come;is on leave;"
    "was late again;teaches maths;broke a leg;runs the bakery;sold the house;will take over;"
    "needs a refund;changed the password;joined the team;disagreed;scored twice;was elected;"
    "retired;resigned;forgot to reply;opened the meeting;directs the choir;flew home;got married;"
    "is allergic to nuts;grew up on a farm;has two daughters;speaks four languages;"
    "denied everything;told a joke;finished third;recorded an album;painted it;"
    "still owes us money;holds the record;designed the bridge;was seen leaving;"
    "refused to comment;lives upstairs"
).split(";")
_DOING = (
    "met;phoned;thanked;invited;replaced;interviewed;sued;hired;married;helped;warned;quoted;"
    "followed;paid;taught;forgave;beat;blamed;praised;treated;visited;photographed;nominated;"
    "fired;accused;recommended;trusted;ignored;remembers;knows"
).split(";")
_BEFORE = (
    "ask;please tell;talk to;a message from;a letter to;the parcel is for;written by;"
    "together with;on behalf of;thanks to;according to;in memory of;a portrait of;the wife of;"
    "the brother of;a friend of;known as;signed by;forwarded by;cc;produced by;starring;"
    "featuring;songs of;poems by;a novel by;the lawyer of;sincerely;best wishes from;yours;"
    "greetings,;contact;attention;the account belongs to;the ticket was booked by;invoice for;"
    "passenger;patient;tenant;customer;guest;named after;inherited from;divorced from;care of;"
    "seen with;beaten by;coached by;assigned to;owner is;i am;i'm;this is;my name is;her name is;"
    "call me;it's;speaking with;say hello to;please add;remove;we miss;happy birthday;goodbye;"
    "registered to;the driver was;a tribute to;between;unlike;like;except;besides;for;to;by;from;"
    "with;about;against"
).split(";")
_AFTER = (
    "here;again;from accounting;and family;and friends;at the door;on the phone;on line two;"
    "for short;from next door;over there;(again!);too;speaking;, please;, my neighbour;"
    ", our manager;, aged nine;, who else;and his dog;and her band;in the second row;"
    "from the choir;aged {n};({city});junior;the Second;himself;herself;as usual"
).split(";")
_PLAIN = (
    "the meeting was moved to friday.;can i get a refund?;nobody answered.;what a lovely day!;"
    "it rained all week.;i would like to close my account.;the train to {city} was late.;"
    "we ordered from {company} twice.;our office is in {city}, {country}.;"
    "send it to {street}, {city}.;how do i change my address?;"
    "{company} opened a branch in {country}.;The River Guide to {city} is out of print.;"
    "see Chapter {n} of the User Manual.;On {date} the Board of {company} met.;"
    "{country} beat {country} {n} to {n}.;my card was declined on {date}.;"
    "Monday and Tuesday are full, Wednesday is free.;The Old Mill Inn serves Sunday Roast.;"
    "Where is Gate {n}?;I live at {street}.;The Blue Harbour Festival starts in June.;"
    "press the Start button, then Save.;Invoice {n} is overdue.;"
    "the {company} share fell by {n} percent.;Terms and Conditions apply.;"
    "My Flight to {city} was Cancelled;Best Western Hotel, {street}, {city};"
    "the French and the Dutch voted against it.;Windows asked for an Update.;"
    "They played Winter Road and Paper Moon.;its Summer Sale ends {date};"
    "TODO: fix the Login Page;Order No. {n}, {city};The Ministry of Health in {country} said so.;"
    "Is Spanish spoken in {country}?;the app crashes on start;yes, go ahead;"
    "the Saint Mary Bridge is closed;Mount Grey is {n} metres high;"
    "{city} University, Department of Physics;I paid {n} euros for the Golden Garden Menu;"
    "{company}, {street}, {city}, {country};no thanks;what is the opening time?;"
    "our flight lands at {n};Delivery to {street}\n{city}\n{country};"
    "Shipping address:\n{street}\n{city};ok;hi there!;Red Lantern is a song about {city};"
    "the Grand Palace Cinema shows Silent Water;Black Friday Deals at {company}"
).split(";")
_PROFESSIONS = (
    "nurse;baker;surgeon;goalkeeper;director;bass player;pilot;violinist;student;plumber;captain;composer;landlady;"
    "plaintiff;spokesman;barber;chemist;senator;referee;translator;gardener;welder;novelist;drummer;paramedic"
).split(";")
_FIELDS = (
    "Name;Full name;Account holder;Patient;Guest;Passenger;Author;From;To;Cc;Signed;"
    "Contact person;Employee;Tenant;Recipient;Cardholder;Applicant;Spouse;Emergency contact;"
    "Player;Photo;Editor;Chair;Present;Music;Lyrics;Witness;Owner;name;customer;user;agent;"
    "Interviewer;Attn;Prepared for;Approved by;Doctor;Teacher;Parent;Sender"
).split(";")
_WORKS = (
    "Paper Boats;The Long Way;Cold Morning;Stay;Rain on Tin;Nine Lives;Ordinary Light;"
    "Under Glass;Two Rooms;The Salt Road"
).split(";")


_SMALL = {
    "start": ";;;;Yesterday ;I heard that ;So ;In {city} ;Note: ;Well, ;{company} says ;Breaking: ;"
    "Since {date}, ;I think "
    ";and ;Our own ;Rumour has it that ;At {company}, ;Last week ;by then ;As of {date} ",
    "end": ";.;.;.;!;?; in {city}.; on {date}.; at {company}.;, right?;...; :); because {plain};"
    " and {plain}; - {plain}",
    "group": "we;they;nobody;the police;my boss;both teams;the jury;everyone;{company}",
    "greeting": "Dear;Hi;Hello;Hey;Good morning;Thanks;Sorry;hi;thx;Welcome back;ok;No,;Yes",
    "farewell": "Regards;Best;Cheers;Yours;Love;Kind regards;Take care;Thanks;-;--;Xx",
    "said": "said;says;wrote;asked;shouted;replied;added;explains;tweeted;joked",
    "asking": "Is;Was;Did;Has;Will;Why is;Where is;Who is;How old is;When did;What about;"
    "Have you seen;Do you know;Is it",
    "asked": "in;there;ready;still here;so late;coming;from {country};famous;any good;yet;or not;a member;right",
    "turn": "Q:;Agent:;Bot:;System:;>;Host:;Operator:;Support:",
    "answer": "A:;User:;Guest:;-;Caller:;Client:;Me:",
    "between": ", ;\n; | ;\t;. ;  ; / ",
    "job": "{profession};the {profession};our {profession};a {profession} from {city};{profession} at {company};"
    "chief executive of {company};mayor of {city};a retired {profession};head of sales",
    "owned": "'s office;'s daughter;'s latest book;'s phone is off;'s idea;'s turn;\u2019s account;"
    "'s concert;'s brother;"
    "'s house;\u2019s lawyer;'s recipe;'s fans;'s goal;'s last film;'s desk;'s version is better;'s;s' flat;' garden",
}
"""Parts of sentences; an empty one is a part as well."""
_FRAMES: tuple[tuple[int, str], ...] = (
    (9, "{start}{P} {verb}{end}"),
    (7, "{start}{before} {P}{end}"),
    (3, "{start}{before} {P} {after}{end}"),
    (2, "{start}{before} {P}, {job}{end}"),
    (5, "{P} {doing} {P}{end}"),
    (4, "{group} {doing} {P}{end}"),
    (2, "{group} {doing} {P} {after}{end}"),
    (3, "{P} {after}{end}"),
    (4, "{P}{owned}{end}"),
    (2, "{start}{before} {P}{owned}{end}"),
    (4, "{P}, {job}, {verb}{end}"),
    (3, "{job} {P} {verb}{end}"),
    (4, "{field}: {P}"),
    (2, "{field}: {P}{between}{field}: {P}{between}{plain}"),
    (1, "{field} - {P}"),
    (1, "{field}: {n}{between}{field}: {P}{between}{field}: {street}"),
    (2, "<{field}>{P}</{field}>"),
    (2, '"{field}": "{P}", "id": {n}'),
    (1, "{field}={P};city={city}"),
    (1, "{n},{P},{city},{date}"),
    (3, "{P}: {plain}\n{P}: {plain}"),
    (3, "{greeting} {P}, {plain}"),
    (2, "{greeting} {P}! {plain}"),
    (1, "{greeting} {P} {plain}"),
    (3, "{plain}\n\n{farewell},\n{P}"),
    (1, "{plain} {farewell} {P}"),
    (2, "{P}, {P} and {P} {verb}{end}"),
    (1, "{P}, {P}, {P}"),
    (2, "{P} & {P}{end}"),
    (1, "{P} vs. {P}: {n}"),
    (1, "{P} and {P} in {city}, photo: {P}"),
    (3, '"{plain}" {said} {P}{end}'),
    (2, '{P} {said}: "{plain}"'),
    (2, '"{work}" by {P}{end}'),
    (1, "{P} - {work} ({n})"),
    (1, "{work} ({P}, {n})"),
    (1, "{P}'s {work} is better than {work} by {P}{end}"),
    (2, "{turn} {plain} {answer} {P}"),
    (1, "{turn} {plain} {answer} {greeting}, {before} {P}"),
    (1, "{P}\n{street}\n{city}\n{country}"),
    (1, "{P}, {street}, {city}"),
    (2, "{P} ({date} - {date}) was a {job}{end}"),
    (1, "1. {P}\n2. {P}\n3. {P}"),
    (1, "* {P} ({city})\n* {P} ({country})"),
    (2, "{P} of {company} {verb}{end}"),
    (2, "{company} and {P} {verb}{end}"),
    (2, "{asking} {P} {asked}?"),
    (1, "@{P} {plain}"),
    (1, "the {P} case{end}"),
    (1, "{city} {job} {P} {verb}{end}"),
    (9, "{plain}"),
    (10, "{some} {P} {some}{end}"),
    (4, "{P} {some}{end}"),
    (4, "{some} {P}{end}"),
    (4, "{cap} {some} {P}{end}"),
    (3, "{cap} {P} {some}{end}"),
    (6, "{cap} {some}{end}"),
    (5, "{cap} {some} {cap} {cap} {some}{end}"),
    (4, "{some} {city} {some}{end}"),
    (4, "{some} {company} {some}{end}"),
    (3, "{some} {street} {some}{end}"),
    (2, "{some} {country} {some}{end}"),
    (2, "{cap} {cap} {some}{end}"),
    (2, "{some} {trade} {some}{end}"),
    (2, "{trade} {P} {some}{end}"),
    (2, "{field}: {some}{between}{field}: {P}"),
    (2, "{cap} {cap}: {some}{between}{field}: {P}"),
    (2, "{start}{company} {verb}{end}"),
    (2, "{start}{city} {verb}{end}"),
    (1, '"{work}" was filmed in {city}{end}'),
    (1, "{company} {doing} {company}{end}"),
    (1, "{before} {city}{end}"),
    (1, "{before} {company}{end}"),
    (1, "{work} {verb}{end}"),
)
"""How often, and the frame; {P} is somebody's name."""
_LEXICON: dict[str, list[str]] = {name: written.split(";") for name, written in _SMALL.items()} | {
    "verb": _VERBS,
    "doing": _DOING,
    "before": _BEFORE,
    "after": _AFTER,
    "plain": _PLAIN,
    "field": _FIELDS,
    "work": _WORKS,
    "profession": _PROFESSIONS,
}
_SLOT = re.compile(r"\{([a-z]+)\}")
_DAYS = ("%d %B %Y", "%Y-%m-%d", "%m/%d/%y", "%B %Y", "%Y")
_NUMBERS = ("3", "12", "47", "180", "2019", "5521", "90210", "7741203")
_LETTERS = "ABCDEFGHJKLMNPRSTVWZ"
_NAMES: tuple[tuple[int, str], ...] = (
    (36, "{given} {family}"),
    (48, "{given}"),
    (30, "{family}"),
    (7, "{given} {letter}. {family}"),
    (3, "{given} {letter} {family}"),
    (3, "{letter}. {family}"),
    (3, "{given} {other} {family}"),
    (2, "{given}-{other} {family}"),
    (2, "{family}, {given}"),
    (2, "{given} {family}-{second}"),
    (2, "{given} {link} {family}"),
)
"""How often, and how people are called."""
_LINKS = ("van", "van der", "de", "von", "al", "da", "bin", "ter")


@dataclass
class Writer:
    """Writes marked sentences; the seed decides all of them."""

    seed: int

    def __post_init__(self) -> None:
        from faker import Faker

        self.chance = random.Random(self.seed)
        self.people: list[tuple[list[str], list[str]]] = []
        self.places: list[dict[str, list[str]]] = []
        for number, locale in enumerate((*LOCALES, "ru_RU", "ja_JP")):
            faker = Faker(locale, use_weighting=False)
            faker.seed_instance(self.seed + number)
            self._collect(faker, locale)
        world = Faker("en_US")
        world.seed_instance(self.seed)
        self.lists: dict[str, list[str]] = {
            "country": [world.country() for _ in range(_DRAWN)],
            "trade": [world.job() for _ in range(2 * _DRAWN)],
        }
        self.words: list[str] = list(world.get_words_list())
        foreign = [word for code in _TONGUES for word in Faker(code).get_words_list()]
        self.foreign = [word for word in foreign if word.islower()]

    def _collect(self, faker: Any, locale: str) -> None:
        """Draw the names, and where letters are Latin the places, of one country."""
        if locale == "ja_JP":
            given, family = faker.first_romanized_name, faker.last_romanized_name
        else:
            given, family = faker.first_name, faker.last_name
        names = [given() for _ in range(_DRAWN)], [family() for _ in range(_DRAWN)]
        self.people.append(names)
        if locale == "ru_RU":
            self.people += [([*map(_latin, names[0])], [*map(_latin, names[1])])] * 2
        elif locale != "ja_JP":
            draw = {"city": faker.city, "company": faker.company, "street": faker.street_address}
            drawn = {k: [d() for _ in range(_DRAWN // 2)] for k, d in draw.items()}
            drawn["company"] = [c for c in drawn["company"] if " " in c]  # the others are surnames
            self.places.append(drawn)

    def given_family(self) -> tuple[str, str]:
        """A given and a family name of one country."""
        if self.chance.random() < 0.06:
            return self.made_up(), self.made_up()
        given, family = self.chance.choice(self.people)
        return self.chance.choice(given), self.chance.choice(family)

    def name(self) -> str:
        """A name in one of the ways in which people are called."""
        pick = self.chance.choice
        given, family = self.given_family()
        other, second = self.given_family()
        way = self.chance.choices([way for _, way in _NAMES], [share for share, _ in _NAMES])[0]
        name = way.format(
            given=given,
            family=family,
            other=other,
            second=second,
            letter=pick(_LETTERS),
            link=pick(_LINKS),
        )
        drawn = self.chance.random()
        return name.lower() if drawn < 0.02 else name.upper() if drawn < 0.06 else name

    def fill(self, frame: str) -> str:
        """A frame with everything filled in but the people."""
        places = self.chance.choice(self.places)
        while _SLOT.search(frame):
            frame = _SLOT.sub(lambda slot: self._part(slot[1], places), frame)
        return frame

    def _part(self, slot: str, places: dict[str, list[str]]) -> str:
        pick = self.chance.choice
        if slot in _LEXICON:
            return pick(_LEXICON[slot])
        if slot in places:
            return pick(places[slot]).replace("\n", ", ")
        if slot in {"some", "cap"}:
            return self._words(slot)
        if slot in self.lists:
            return pick(self.lists[slot])
        if slot == "n":
            return pick(_NUMBERS)
        day = date(1950, 1, 1) + timedelta(days=self.chance.randrange(27_000))
        return day.strftime(pick(_DAYS))

    def _words(self, slot: str) -> str:
        """Words drawn at random, or one with a capital."""
        words = self.words if self.chance.random() < _ENGLISH else self.foreign
        count = 1 if slot == "cap" else self.chance.randint(1, 5)
        several = " ".join(self.chance.choices(words, k=count))
        return several.capitalize() if slot == "cap" else several

    def text(self) -> Marked:
        """One to three sentences, in the usual case or all in another."""
        weights = [share for share, _ in _FRAMES]
        chosen = self.chance.choices(
            _FRAMES, weights, k=self.chance.choices([1, 2, 3], [6, 3, 1])[0]
        )
        frames = [self.fill(frame) for _, frame in chosen]
        if self.chance.random() < 0.6:
            frames = [frame[:1].upper() + frame[1:] for frame in frames]
        whole = self.chance.choice([" ", " ", "\n"]).join(frames)
        case = self.chance.choices(_CASES, [90, 5, 3, 2])[0]
        text, marks = "", []
        for piece in re.split(r"(\{P\})", whole):
            if piece != "{P}":
                text += case(piece)
                continue
            if self.chance.random() < 0.08:
                text += case(self.chance.choice(_TITLES)) + " "
            name = case(self.name())
            marks.append((len(text), len(text) + len(name)))
            text += name
        return text, marks

    def made_up(self) -> str:
        """A word of no language, with a capital."""
        return "".join(self.chance.choices(_SYLLABLES, k=self.chance.randint(2, 3))).capitalize()


def _latin(name: str) -> str:
    """A Russian name as passports write it."""
    return "".join(_ROMAN.get(c, c).replace(".", "") for c in name.lower()).capitalize()
