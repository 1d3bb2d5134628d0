// Threads about people: messages, counted goods, a closed path, an animal that runs away.
#include "data/stories/threads.h"

namespace isoloss::stories {

namespace {
/// A message with a place and an hour, or a password, goes from A through B to C, who acts on it.
class Message final : public Thread {
 public:
  explicit Message(Tale& tale)
      : a_(tale.anyone()),
        b_(tale.other_than(a_)),
        c_(tale.other_than(a_, b_)),
        place_(tale.any_place()),
        first_(tale.pick(kColours)),
        second_(tale.pick(kBeasts)),
        hour_(tale.pick(kHours)),
        password_(tale.chance(50)) {}
  bool advance(Tale& tale) override {
    const Slots s{.a = &a_, .b = &b_, .c = &c_, .p = &tale.at(place_), .x = first_, .y = second_, .z = hour_};
    const Slots relayed{.a = &b_, .b = &a_, .c = &c_, .p = &tale.at(place_), .x = first_, .y = second_, .z = hour_};
    switch (stage_++) {
      case 0:
        tale.meet(a_, b_);
        if (password_) {
          tale.tell({"\"Tell %C the password,\" %A said to %B %D. \"It is '%X %Y'. Nobody gets in without it.\"",
                     "%A whispered to %B: \"The password for tonight is '%X %Y'. Let %C know.\""},
                    s);
        } else {
          tale.tell({"\"If you see %C,\" %A said to %B %D, \"say that we meet %P at %Z.\"",
                     "%A gave %B a message for %C: everybody was to be %P at %Z."},
                    s);
        }
        return false;
      case 1:
        tale.meet(b_, c_);
        if (password_) {
          tale.tell({"\"%B sends me,\" %A told %C %D. \"The password is '%X %Y'.\"",
                     "%A bent down to %C's ear. \"'%X %Y',\" %e said, \"that is the password. I have it from %B.\""},
                    relayed);
        } else {
          tale.tell({"\"%B says that we meet %P at %Z,\" %A told %C %D.",
                     "%A passed on the message to %C: at %Z, %P. \"%B asks you not to be late,\" %e added %D."},
                    relayed);
        }
        return false;
      default:
        tale.go(c_, place_);
        if (password_) {
          tale.tell({"\"The password?\" asked a voice behind the door. \"'%X %Y',\" said %A %D, and the door opened.",
                     "a guard stood %P. \"'%X %Y',\" %A said to him %D, and was let through."},
                    {.a = &c_, .b = &b_, .p = &tale.at(place_), .x = first_, .y = second_});
        } else {
          a_.place = place_;
          tale.tell({"it struck %Z when %A came to %L, and %B was waiting there, as the message had said.",
                     "at %Z %A was %P, and so was %B."},
                    {.a = &c_, .b = &a_, .p = &tale.at(place_), .z = hour_});
        }
        return true;
    }
  }

 private:
  Person &a_, &b_, &c_;
  int place_, stage_ = 0;
  std::string_view first_, second_, hour_;
  bool password_;
};

/// Gathering, giving and eating countable things; the numbers always add up.
class Counting final : public Thread {
 public:
  explicit Counting(Tale& tale) : a_(tale.anyone()), b_(tale.other_than(a_)) {}
  bool advance(Tale& tale) override {
    Slots s{.a = &a_, .b = &b_, .x = tale.countable->verb};
    switch (stage_++) {
      case 0:
        tale.go(a_, tale.any_place());
        s.n = 4 + tale.below(8), s.p = &tale.at(a_);
        a_.count += s.n;
        tale.tell({"%P %S %X %N and put them into a bag.", "%S %X %N %P.", "%S stayed %P for an hour and %X %N."}, s);
        return false;
      case 1: {
        tale.meet(a_, b_);
        s.n = 1 + tale.below(a_.count - 2), s.k = a_.count, s.t = a_.count - s.n;
        tale.tell({"of %h %K %U %S gave %N to %B and kept %T.",
                   "\"I have %K %U,\" said %A %D, and gave %N to %B. That left %T.",
                   "%S counted: %K %U. %B got %G of them, so %T were left."},
                  s);
        a_.count -= s.n, b_.count += s.n;
        return false;
      }
      case 2:
        s.k = a_.count, s.n = 2 + tale.below(5);
        s.t = a_.count + s.n;
        tale.tell({"later %A %X %G more. %K and %Y made %T.", "then %e %X another %N, and so %A had %T in all."},
                  {.a = &a_, .n = s.n, .k = s.k, .t = s.t, .x = s.x, .y = kNumbers[s.n]});
        a_.count = s.t;
        return false;
      default:
        s.n = a_.count, s.t = b_.count;
        tale.tell(
            {"\"How many %U do you have?\" %B asked %A %E. \"%N,\" said %A %D. \"And I have %T,\" said %B.",
             "as for the %U, %A now had %N, and %B had %T.", "%S laid out %h %U in a row: there were %N. %B had %T."},
            s);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  int stage_ = 0;
};

/// Causes and their effects: the way to the place that lies apart is closed, and opens again.
class Way final : public Thread {
 public:
  explicit Way(Tale& tale) : a_(tale.anyone()), b_(tale.other_than(a_)) {}
  bool advance(Tale& tale) override {
    const Slots s{.a = &a_, .b = &b_, .p = &tale.setting->places[Tale::kOpenPlaces], .r = &tale.at(a_)};
    switch (stage_++) {
      case 0:
        tale.tell(
            {"a storm had thrown a tree across the path to %L. Because the path was closed, nobody could get there.",
             "the path to %L was under water, so nobody could get there.",
             "stones had come down on the path to %L, and therefore it was closed."},
            s);
        return false;
      case 1:
        tale.tell({"%A had something to do %P, but since the path was closed, %e stayed %R.",
                   "%S would have liked to go to %L. \"Not before the path is clear,\" said %B %E."},
                  s);
        return false;
      case 2:
        tale.meet(b_, a_);
        tale.tell({"%A and %B worked at the path for two hours, and then it was clear.",
                   "\"The path is open again,\" %B told %A %E."},
                  s);
        return false;
      default:
        tale.tell({"because the path was open again, %A went to %L at last, did what had to be done, and came back.",
                   "now %A could go to %L, and %e was back within the hour."},
                  s);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  int stage_ = 0;
};

/// An animal that runs away and comes back for what it likes.
class Stray final : public Thread {
 public:
  explicit Stray(Tale& tale)
      : a_(tale.anyone()),
        b_(tale.other_than(a_)),
        animal_(tale.pick(kAnimals)),
        name_(tale.pick(kAnimalNames)),
        place_(tale.any_place()) {}
  bool advance(Tale& tale) override {
    Slots s{.a = &a_, .b = &b_, .p = &tale.at(place_), .x = name_, .y = animal_.kind, .z = animal_.likes};
    switch (stage_++) {
      case 0:
        tale.tell({"%A had a %Y called %X, which would do anything for %Z.",
                   "wherever %A went, a %Y went too. Its name was %X, and there was nothing it liked better than %Z."},
                  s);
        return false;
      case 1:
        tale.tell({"at some moment %X the %Y was no longer there. \"%X!\" called %A %D, but nothing moved.",
                   "%X must have run away. \"My %Y is gone,\" said %A %D."},
                  s);
        return false;
      case 2:
        tale.meet(a_, b_);
        tale.tell({"\"I saw a %Y %P,\" said %B %E. \"Take some %Z with you.\"",
                   "\"Try it with %Z,\" said %B %E. \"There was a %Y %P, not long ago.\""},
                  s);
        return false;
      default:
        s.y = animal_.noise;
        tale.go(a_, place_);
        tale.tell({"%S held out some %Z, and from somewhere %P came %X and %Y.",
                   "%P %S called \"%X!\" and showed the %Z. %X %Y and came running."},
                  s);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  const Animal& animal_;
  std::string_view name_;
  int place_, stage_ = 0;
};
}  // namespace

std::unique_ptr<Thread> make_people_thread(int kind, Tale& tale) {
  switch (kind) {
    case 0:
      return std::make_unique<Message>(tale);
    case 1:
      return std::make_unique<Counting>(tale);
    case 2:
      return std::make_unique<Way>(tale);
    default:
      return std::make_unique<Stray>(tale);
  }
}

}  // namespace isoloss::stories
