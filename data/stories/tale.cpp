#include "data/stories/tale.h"

#include <algorithm>

namespace isoloss::stories {

namespace {
bool begins_with_vowel(std::string_view word) { return word.find_first_of("aeiou") == 0; }

bool ends_sentence(std::string_view text) {
  for (const std::string_view end : {". ", "! ", "? ", ".\" ", "! \"", "? \"", ". \""}) {
    if (text.ends_with(end)) return true;
  }
  return false;
}

std::string_view noun_for(const Countable& countable, int n) { return n == 1 ? countable.singular : countable.plural; }
}  // namespace

Tale::Tale(Philox& random, std::string& out) : random_(random), out_(out) {
  setting = &pick(kSettings);
  countable = &pick(kCountables);
  weather = &pick(kWeathers);
  const int count = 3 + below(3);
  people.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    Person person;
    const auto taken = [&](auto same) { return std::any_of(people.begin(), people.end(), same); };
    // Distinct initials keep the people apart for a reader.
    do {
      person.woman = chance(50);
      person.name = person.woman ? pick(kWomen) : pick(kMen);
    } while (taken([&](const Person& p) { return p.name[0] == person.name[0]; }));
    do person.role = pick(kRoles);
    while (taken([&](const Person& p) { return p.role == person.role; }));
    do person.trait = &pick(kTraits);
    while (taken([&](const Person& p) { return p.trait == person.trait; }));
    person.place = any_place();
    people.push_back(person);
  }
  objects.reserve(16);
  const int things = 2 + below(3);
  for (int i = 0; i < things; ++i) {
    const Thing* thing = nullptr;
    do thing = &pick(kThings);
    while (std::any_of(objects.begin(), objects.end(), [&](const Object& o) { return o.noun == thing->noun; }));
    Object object;
    object.noun = thing->noun;
    object.adjective = thing->adjectives[static_cast<std::size_t>(below(5))];
    object.place = any_place();
    if (chance(50)) object.holder = &anyone();
    objects.push_back(object);
  }
}

Person& Tale::anyone() { return people[static_cast<std::size_t>(below(static_cast<int>(people.size())))]; }

Person& Tale::other_than(const Person& a) {
  for (;;) {
    Person& person = anyone();
    if (&person != &a) return person;
  }
}

Person& Tale::other_than(const Person& a, const Person& b) {
  for (;;) {
    Person& person = anyone();
    if (&person != &a && &person != &b) return person;
  }
}

Object* Tale::claim_object() {
  for (Object& object : objects) {
    if (object.in_a_thread) continue;
    object.in_a_thread = true;
    return &object;
  }
  return nullptr;
}

Object* Tale::make_object(std::string_view noun) {
  for (Object& object : objects) {
    if (object.noun != noun) continue;
    if (object.in_a_thread) return nullptr;  // two lanterns in one story would be confused
    object.in_a_thread = true;
    return &object;
  }
  if (objects.size() == objects.capacity()) return nullptr;  // objects never move: others point at them
  const auto thing =
      std::find_if(std::begin(kThings), std::end(kThings), [&](const Thing& t) { return t.noun == noun; });
  Object object;
  object.noun = noun;
  object.adjective = thing->adjectives[static_cast<std::size_t>(below(5))];
  object.place = any_place();
  object.in_a_thread = true;
  if (chance(50)) object.holder = &anyone();
  objects.push_back(object);
  return &objects.back();
}

void Tale::go(Person& a, int place) {
  if (a.place == place) return;
  const Slots slots{.a = &a, .p = &at(place), .r = &at(a)};
  a.place = place;
  tell({"%S went to %L.", "%S walked from %M to %L.", "%S set off for %L.", "%S left %M and went to %L.",
        "from %M %S hurried to %L.", "%S made %h way to %L.", "%S went on to %L."},
       slots);
}

void Tale::fetch(Person& a, Object& o) {
  if (o.holder == &a) {
    tell({"%S still had %O with %m.", "%S had not let go of %O.", "%O was already in %h hands."}, {.a = &a, .o = &o});
    return;
  }
  if (o.holder == nullptr) {
    go(a, o.place);
    o.holder = &a;
    tell({"%O lay %P, and %S took it.", "%S found %O %P and picked it up.", "there was %O, and %S took it along.",
          "%S took %O, which lay %P."},
         {.a = &a, .o = &o, .p = &at(a)});
    return;
  }
  Person& b = *o.holder;
  meet(a, b);
  o.holder = &a;
  tell({"\"May I have %O?\" %A asked %B %D. \"Take it,\" said %B %E, and gave it to %m.",
        "%B had %O. \"I need it today,\" said %A %D. \"Then it is yours,\" said %B %E, and %A took it.",
        "%A asked %B for %O. \"Here it is,\" said %B %E.",
        "\"Is that %O in your hand?\" asked %A %D. %B nodded and handed it to %m."},
       {.a = &a, .b = &b, .o = &o, .p = &at(a)});
}

void Tale::hand_over(Person& a, Person& b, Object& o) {
  meet(a, b);
  o.holder = &b;
  tell({"%S gave %O to %B.", "%S handed %O to %B.", "%S put %O into %B's hands.", "%S held out %O, and %B took it."},
       {.a = &a, .b = &b, .o = &o});
}

void Tale::pass_time() {
  static constexpr std::string_view when[] = {"in the morning",   "later that morning",    "at noon",
                                              "in the afternoon", "late in the afternoon", "in the evening",
                                              "after dark",       "the next morning"};
  const Person& a = anyone();
  const Slots slots{
      .a = &a, .p = &at(a), .x = when[static_cast<std::size_t>(hour_)], .y = pick(kMeals), .z = weather->because};
  hour_ = hour_ == 7 ? 1 : hour_ + 1;
  tell({"%X %S was %P and ate %Y.", "%X %A sat %P over %Y.", "%X it was quiet %P, and %A rested, for %Z.",
        "%X %A could be seen %P, with %Y."},
       slots);
}

void Tale::chat() {
  const Person& a = anyone();
  const auto together =
      std::find_if(people.begin(), people.end(), [&](const Person& p) { return &p != &a && p.place == a.place; });
  if (together != people.end() && chance(60)) {
    const Talk& talk = pick(kTalks);
    tell({"\"%X\" %A asked %B %D. %B answered %E: \"%Y\"", "\"%X\" asked %A %D, and %B answered %E: \"%Y\""},
         {.a = &a, .b = &*together, .x = talk.question, .y = talk.answer});
    return;
  }
  tell({"%P %X.", "%P, where %A was, %X.", "%A noticed that %P %X."}, {.a = &a, .p = &at(a), .x = pick(kDetails)});
}

void Tale::paragraph() {
  if (!out_.empty() && out_.back() == ' ') out_.back() = '\n', out_ += '\n';
  sentence_start_ = true;
  last_subject_ = nullptr;
  named_.clear();
  named_before_ = 0;
}

void Tale::put(std::string_view text) {
  if (text.empty()) return;
  const std::size_t first = text[0] == '"' && text.size() > 1 ? 1 : 0;
  const std::size_t at = out_.size() + first;
  out_ += text;
  if (sentence_start_ && out_[at] >= 'a' && out_[at] <= 'z') out_[at] = static_cast<char>(out_[at] - 'a' + 'A');
  // A quotation mark alone leaves the capital to the word behind it.
  if (text != "\"") sentence_start_ = ends_sentence(text);
}

void Tale::name(const Person& a) {
  named_.push_back(&a);
  put(a.name);
}

void Tale::subject(const Person& a) {
  const bool alone =
      std::none_of(named_.begin(), named_.end(), [&](const Person* p) { return p != &a && p->woman == a.woman; });
  if (last_subject_ == &a && alone && chance(75)) {
    put(a.woman ? "she" : "he");
  } else {
    name(a);
  }
}

void Tale::indefinite(const Object& o) {
  put(begins_with_vowel(o.adjective) ? "an " : "a ");
  put(o.adjective);
  put(" ");
  put(o.noun);
}

void Tale::tell(std::initializer_list<std::string_view> variants, const Slots& slots) {
  sentence_start_ = true;
  expand(variants.begin()[below(static_cast<int>(variants.size()))], slots);
  out_ += ' ';
  last_subject_ = slots.a;
  named_.erase(named_.begin(), named_.begin() + static_cast<std::ptrdiff_t>(named_before_));
  named_before_ = named_.size();
}

void Tale::expand(std::string_view text, const Slots& s) {
  // b's pronoun could be a's: then b is named.
  const bool same = s.a != nullptr && s.b != nullptr && s.a->woman == s.b->woman;
  const auto definite = [&](const Object& o, bool full) {
    put("the ");
    if (full) put(o.adjective), put(" ");
    put(o.noun);
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t mark = std::min(text.find('%', i), text.size());
    const std::string_view plain = text.substr(i, mark - i);
    words_ += static_cast<std::size_t>(std::count(plain.begin(), plain.end(), ' '));
    put(plain);
    if (mark == text.size()) break;
    i = mark + 2;
    switch (text[mark + 1]) {
      case 'S':
        subject(*s.a);
        break;
      case 'A':
        name(*s.a);
        break;
      case 'B':
        name(*s.b);
        break;
      case 'C':
        name(*s.c);
        break;
      case 'V':
        put("the "), put(s.a->role);
        break;
      case 'W':
        put("the "), put(s.b->role);
        break;
      case 'e':
        put(s.a->woman ? "she" : "he");
        break;
      case 'm':
        put(s.a->woman ? "her" : "him");
        break;
      case 'h':
        put(s.a->woman ? "her" : "his");
        break;
      case 'f':
        same ? name(*s.b) : put(s.b->woman ? "she" : "he");
        break;
      case 'w':
        same ? name(*s.b) : put(s.b->woman ? "her" : "him");
        break;
      case 'i':
        if (same) {
          name(*s.b), put("'s");
        } else {
          put(s.b->woman ? "her" : "his");
        }
        break;
      case 'O':
        definite(*s.o, true);
        break;
      case 'o':
        definite(*s.o, false);
        break;
      case '1':
        indefinite(*s.o);
        break;
      case 'Q':
        definite(*s.q, true);
        break;
      case 'q':
        definite(*s.q, false);
        break;
      case '2':
        indefinite(*s.q);
        break;
      case 'P':
        put(s.p->preposition), put(" "), put(s.p->name);
        break;
      case 'L':
        put(s.p->name);
        break;
      case 'R':
        put(s.r->preposition), put(" "), put(s.r->name);
        break;
      case 'M':
        put(s.r->name);
        break;
      case 'D':
        put(s.a->trait->manner);
        break;
      case 'E':
        put(s.b->trait->manner);
        break;
      case 'N':
        number(s.n), put(" "), put(noun_for(*countable, s.n));
        break;
      case 'G':
        number(s.n);
        break;
      case 'K':
        number(s.k);
        break;
      case 'T':
        number(s.t), put(" "), put(noun_for(*countable, s.t));
        break;
      case 'U':
        put(countable->plural);
        break;
      case 'X':
        put(s.x);
        break;
      case 'Y':
        put(s.y);
        break;
      case 'Z':
        put(s.z);
        break;
      default:
        put("%");
        break;
    }
  }
  ++words_;
}

}  // namespace isoloss::stories
