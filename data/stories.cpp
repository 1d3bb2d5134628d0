#include "data/stories.h"

#include <memory>
#include <utility>
#include <vector>

#include "data/stories/tale.h"
#include "data/stories/threads.h"

namespace isoloss {

using namespace stories;

namespace {
void introduce_people(Tale& tale) {
  const std::vector<Person>& people = tale.people;
  tale.tell({"%X lived %Y people who knew each other well.", "this happened %X, where %Y people worked side by side.",
             "there were %Y friends %X."},
            {.x = tale.setting->description, .y = kNumbers[people.size()]});
  for (const Person& person : people) {
    if (&person != &people.front() && tale.chance(25)) {
      tale.tell({"then there was %A, %V: %X, somebody who %Y.", "%A, %V, %Y; nobody was so %X."},
                {.a = &person, .x = person.trait->adjective, .y = person.trait->habit});
      continue;
    }
    tale.tell({"%A was %V, and so %X that %e %Y.", "%A, %V, was %X and %Y.", "%V was called %A. Being %X, %e %Y."},
              {.a = &person, .x = person.trait->adjective, .y = person.trait->habit});
  }
}

void introduce_day(Tale& tale) {
  tale.paragraph();
  tale.tell({"that day %X.", "%X when the story began.", "when %A woke up, %X."},
            {.a = &tale.anyone(), .x = tale.weather->now});
  for (const Person& person : tale.people) {
    tale.tell({"%A was %P.", "%A had gone to %L early.", "%P stood %A."}, {.a = &person, .p = &tale.at(person)});
  }
  for (const Object& object : tale.objects) {
    if (object.holder != nullptr) {
      tale.tell({"%A had %1 with %m.", "%A was carrying %1."}, {.a = object.holder, .o = &object});
    } else {
      tale.tell({"%P lay %1.", "somebody had left %1 %P."}, {.o = &object, .p = &tale.at(object.place)});
    }
  }
}

/// A question about the state of the world, and the true answer.
void ask(Tale& tale) {
  const Object& object = tale.objects[static_cast<std::size_t>(tale.below(static_cast<int>(tale.objects.size())))];
  if (object.holder == nullptr && object.in_a_thread) return;  // it may be lost or hidden: nobody could say
  const Person& a = object.holder != nullptr ? tale.other_than(*object.holder) : tale.anyone();
  const Person& b = object.holder != nullptr ? tale.other_than(a, *object.holder) : tale.other_than(a);
  const Slots slots{.a = &a, .b = &b, .c = object.holder, .o = &object, .p = &tale.at(object.place)};
  if (object.holder != nullptr) {
    tale.tell({"\"Who has %O?\" %A wanted to know. \"%C has it,\" said %B %E.",
               "\"%C still has %O, I think,\" said %A %D, and that was so."},
              slots);
  } else {
    tale.tell(
        {"\"Where is %O?\" asked %A %D. \"It is still %P,\" said %B %E.", "nobody had touched %O; it was still %P."},
        slots);
  }
}

void close(Tale& tale) {
  tale.paragraph();
  tale.tell({"so the day came to its end.", "that was all that happened.", "in the end everything was settled."}, {});
  for (const Object& object : tale.objects) {
    const Slots slots{.a = object.holder, .o = &object, .p = &tale.at(object.place)};
    if (object.holder != nullptr) {
      tale.tell({"%O was with %A.", "%A had %O.", "%A took %O home."}, slots);
    } else {
      tale.tell({"%O was %P.", "%O had stayed %P."}, slots);
    }
  }
  const Person& a = tale.anyone();
  tale.tell({"and %A? %A, being %X, %Y.", "\"What a day,\" said %A %D.", "\"Tomorrow we shall see,\" said %A %D.",
             "%A fell asleep at last, as %X as ever."},
            {.a = &a, .x = a.trait->adjective, .y = a.trait->habit});
}

/// Up to `count` threads of different kinds.
std::vector<std::unique_ptr<Thread>> choose_threads(Tale& tale, int count) {
  constexpr int kinds = kObjectThreads + kPeopleThreads;
  std::vector<std::unique_ptr<Thread>> threads;
  bool used[kinds] = {};
  for (int tries = 0; tries < 4 * kinds && static_cast<int>(threads.size()) < count; ++tries) {
    const int kind = tale.below(kinds);
    if (std::exchange(used[kind], true)) continue;
    std::unique_ptr<Thread> thread =
        kind < kObjectThreads ? make_object_thread(kind, tale) : make_people_thread(kind - kObjectThreads, tale);
    if (thread != nullptr) threads.push_back(std::move(thread));
  }
  return threads;
}
}  // namespace

std::string_view StoryGenerator::next() {
  constexpr std::size_t most_words = 320;  // the open threads are still brought to their ends
  Philox random(mix(seed_, hash_name("stories")), number_++);
  text_.clear();
  Tale tale(random, text_);
  std::vector<std::unique_ptr<Thread>> threads = choose_threads(tale, 1 + tale.below(4));
  introduce_people(tale);
  introduce_day(tale);
  tale.paragraph();
  while (!threads.empty()) {
    const int i = tale.below(static_cast<int>(threads.size()));
    if (threads[static_cast<std::size_t>(i)]->advance(tale)) threads.erase(threads.begin() + i);
    if (tale.words() < most_words && tale.chance(12)) ask(tale);
    if (tale.words() < most_words && tale.chance(20)) tale.chat();
    if (tale.chance(30)) tale.paragraph();
    if (tale.words() < most_words && tale.chance(15)) tale.pass_time();
  }
  close(tale);
  text_.back() = '\n';  // the space behind the last sentence
  return text_;
}

}  // namespace isoloss
