// The world of one story and the pen that writes about it. The world is always true: a sentence that says where
// something is reads it from here.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "data/stories/words.h"
#include "kernels/base/philox.h"

namespace isoloss::stories {

struct Person {
  std::string_view name, role;
  bool woman = false;
  const Trait* trait = nullptr;
  int place = 0;  ///< index into Tale::places
  int count = 0;  ///< how many of the story's countable this person has
};

struct Object {
  std::string_view adjective, noun;
  Person* holder = nullptr;
  int place = 0;             ///< where it lies when nobody holds it
  bool in_a_thread = false;  ///< some thread of the story moves it; the others leave it alone
};

/// What a template's marks stand for; see Tale::tell.
struct Slots {
  const Person* a = nullptr;
  const Person* b = nullptr;
  const Person* c = nullptr;
  const Object* o = nullptr;
  const Object* q = nullptr;
  const Place* p = nullptr;
  const Place* r = nullptr;
  int n = 0, k = 0, t = 0;
  std::string_view x = {}, y = {}, z = {};
};

class Tale {
 public:
  /// Draws a world and writes into `out`.
  Tale(Philox& random, std::string& out);
  Tale(const Tale&) = delete;
  Tale& operator=(const Tale&) = delete;

  /// Writes one sentence (or a few) from a template drawn among `variants`, with these marks:
  ///   %S name of a, or "he"/"she" where that is clear; %A %B %C names; %V "the baker" (a), %W (b)
  ///   %e %m %h he/him/his for a; %f %w %i for b, by name where the pronoun could be a's
  ///   %O "the brass key", %o "the key", %1 "a brass key" for o; %Q %q %2 for q
  ///   %P "in the barn", %L "the barn" for p; %R %M for r; %D %E the manner in which a, b speaks
  ///   %N %T "three apples" for n, t; %G %K "three" for n, k; %U "apples"; %X %Y %Z free text
  void tell(std::initializer_list<std::string_view> variants, const Slots& slots);
  void paragraph();
  std::size_t words() const { return words_; }

  template <class T, std::size_t N>
  const T& pick(const T (&table)[N]) {
    return table[random_.below(N)];
  }
  int below(int n) { return static_cast<int>(random_.below(static_cast<std::uint64_t>(n))); }
  bool chance(int percent) { return below(100) < percent; }

  Person& anyone();
  Person& other_than(const Person& a);
  Person& other_than(const Person& a, const Person& b);
  int any_place() { return below(kOpenPlaces); }
  int place_but(int place) { return (place + 1 + below(kOpenPlaces - 1)) % kOpenPlaces; }
  /// An object that no thread has taken yet, now taken; nullptr when there is none.
  Object* claim_object();
  /// A new object of this noun, claimed, lying somewhere.
  Object* make_object(std::string_view noun);

  const Place& at(int place) const { return setting->places[static_cast<std::size_t>(place)]; }
  const Place& at(const Person& a) const { return at(a.place); }
  int where(const Object& o) const { return o.holder != nullptr ? o.holder->place : o.place; }

  // Actions: each changes the world and says so; what is already so is not said.
  void go(Person& a, int place);
  void meet(Person& a, Person& b) { go(a, b.place); }
  void fetch(Person& a, Object& o);
  /// fetch(), and nothing where a holds it already.
  void acquire(Person& a, Object& o) {
    if (o.holder != &a) fetch(a, o);
  }
  void hand_over(Person& a, Person& b, Object& o);
  void pass_time();
  void chat();  ///< a detail of a place, or two people talking of nothing much

  static constexpr int kOpenPlaces = 7;  ///< of 8; the last one lies apart
  const Setting* setting;
  const Countable* countable;
  const Weather* weather;
  std::vector<Person> people;
  std::vector<Object> objects;

 private:
  void expand(std::string_view text, const Slots& slots);
  void subject(const Person& a);
  void name(const Person& a);
  void put(std::string_view text);
  void number(int n) { put(kNumbers[static_cast<std::size_t>(n)]); }
  void indefinite(const Object& o);

  Philox& random_;
  std::string& out_;
  std::size_t words_ = 0;
  bool sentence_start_ = true;
  const Person* last_subject_ = nullptr;
  std::vector<const Person*> named_;  ///< in this sentence and the one before
  std::size_t named_before_ = 0;
  int hour_ = 0;
};

}  // namespace isoloss::stories
