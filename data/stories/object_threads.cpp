// Threads about things: promised, lost, lent, hidden, needed for work.
#include "data/stories/threads.h"

namespace isoloss::stories {

namespace {
/// Who has it, or somebody who may as well be its owner.
Person& owner_of(Tale& tale, const Object& o) { return o.holder != nullptr ? *o.holder : tale.anyone(); }

Person& someone_without(Tale& tale, const Person& a, const Object& o) {
  return o.holder == nullptr || o.holder == &a ? tale.other_than(a) : tale.other_than(a, *o.holder);
}

/// A promises to bring B something, and does.
class Promise final : public Thread {
 public:
  Promise(Tale& tale, Object& o) : a_(tale.anyone()), b_(someone_without(tale, a_, o)), o_(o) {}
  bool advance(Tale& tale) override {
    Slots s{.a = &a_, .b = &b_, .o = &o_, .p = &tale.at(b_), .x = purpose_};
    switch (stage_++) {
      case 0:
        purpose_ = s.x = tale.pick(kPurposes);
        tale.meet(a_, b_);
        tale.tell({"\"Will you bring me %O today?\" %B asked %A %E. \"I need it %X.\" \"I promise,\" said %A %D.",
                   "\"I need %O %X,\" said %B %E. \"You will have it before dark, I promise,\" %A answered %D.",
                   "\"Please find me %O,\" said %B %E, \"%X.\" %A promised to bring it. But where was it now?"},
                  s);
        return false;
      case 1:
        tale.tell({"%S thought of the promise to %B and began to look for %O.",
                   "a promise is a promise, thought %A, and so %e started out for %O.",
                   "%S had not forgotten what %B wanted: it was %O."},
                  s);
        tale.fetch(a_, o_);
        return false;
      default:
        tale.hand_over(a_, b_, o_);
        tale.tell({"\"You kept your promise,\" said %B %E. \"Now I have it, %X.\"",
                   "\"%X, you said,\" %A reminded %w %D. \"You remember everything,\" said %B %E.",
                   "so %A kept %h promise, and %B had %O."},
                  s);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  Object& o_;
  std::string_view purpose_;
  int stage_ = 0;
};

/// Something falls to the ground unnoticed in one place and is looked for in others.
class Lost final : public Thread {
 public:
  Lost(Tale& tale, Object& o)
      : a_(owner_of(tale, o)), b_(tale.other_than(a_)), o_(o), lost_at_(tale.any_place()), told_(tale.chance(60)) {}
  bool advance(Tale& tale) override {
    Slots s{.a = &a_, .b = &b_, .o = &o_, .p = &tale.at(lost_at_)};
    switch (stage_++) {
      case 0:
        tale.acquire(a_, o_);
        tale.go(a_, lost_at_);
        if (told_) {
          tale.tell({"there, %P, %O slipped from under %h arm, and %e did not notice.",
                     "when %A bent down %P to tie %h shoe, %O fell to the ground without a sound.",
                     "%S looked at %O once more, put it down %P for a moment, and forgot it there."},
                    s);
        } else {
          tale.tell({"%S had %O with %m, as always.", "%S was carrying %O, of which %e was very fond."}, s);
        }
        o_.holder = nullptr, o_.place = lost_at_;
        tale.go(a_, tale.place_but(lost_at_));
        return false;
      case 1:
        tale.tell({"suddenly %A stood still: %O was gone! \"I had it this morning,\" %e said %D.",
                   "\"Where is my %X?\" said %A %D. %O was nowhere to be seen.",
                   "only now did %A notice that %O was missing."},
                  {.a = &a_, .o = &o_, .x = o_.noun});
        return false;
      case 2: {
        const int wrong = tale.place_but(lost_at_);
        tale.go(a_, wrong);
        tale.tell({"%S looked everywhere %P, but %o was not there.",
                   "%S searched in every corner %P and found only dust.", "no, %o was not %P either."},
                  {.a = &a_, .o = &o_, .p = &tale.at(wrong)});
        return false;
      }
      case 3:
        tale.meet(a_, b_);
        tale.tell(
            {"\"Have you seen %O?\" %A asked %B %D. \"Something was lying %P,\" said %B %E.",
             "%B was no help at first. \"Were you not %P this morning?\" %B asked %E in the end. \"Look there!\""},
            s);
        return false;
      default:
        tale.go(a_, lost_at_);
        o_.holder = &a_;
        tale.tell({"and really, there was %O, %P, where %A had lost it.",
                   "%O was still %P. %A picked it up and did not let go of it again that day.",
                   "%S found %O at last: it had been %P all the time, just as %B had said."},
                  s);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  Object& o_;
  int lost_at_, stage_ = 0;
  bool told_;
};

/// B borrows from A and lends on to C; A gets it back by asking along the chain.
class Loan final : public Thread {
 public:
  Loan(Tale& tale, Object& o)
      : a_(owner_of(tale, o)), b_(tale.other_than(a_)), c_(tale.other_than(a_, b_)), o_(o), lent_on_(tale.chance(60)) {}
  bool advance(Tale& tale) override {
    const Slots s{.a = &b_, .b = &a_, .c = &c_, .o = &o_};
    switch (stage_++) {
      case 0:
        tale.acquire(a_, o_);
        tale.meet(b_, a_);
        o_.holder = &b_;
        tale.tell({"%O belonged to %B. \"Lend it to me until tonight,\" said %A %D. \"But bring it back,\" said %B %E.",
                   "%A borrowed %O from %B, who said %E: \"It is mine, and I want it back by tonight.\""},
                  s);
        return false;
      case 1:
        if (!lent_on_) {
          tale.go(b_, tale.any_place());
          tale.tell({"%S used %O for an hour and then put it away with care.",
                     "%S was busy with %O all that time and thought of nothing else."},
                    s);
          return false;
        }
        tale.meet(b_, c_);
        o_.holder = &c_;
        tale.tell({"%C begged for %O so long that %A passed it on. \"Only until tonight!\" said %A %D.",
                   "%A let %C have %O for a while, though it was not %h own."},
                  s);
        return false;
      case 2:
        if (!lent_on_) {
          tale.hand_over(b_, a_, o_);
          tale.tell({"it was not even scratched. \"You may borrow it again,\" said %B %E.",
                     "\"I bring it back, as I said,\" said %A %D."},
                    s);
          return true;
        }
        tale.meet(a_, b_);
        tale.tell({"\"Where is my %X?\" %A asked %B %D. \"%C has it,\" %B admitted %E.",
                   "\"I do not see my %X anywhere,\" said %A %D. \"I lent it to %C,\" said %B %E."},
                  {.a = &a_, .b = &b_, .c = &c_, .o = &o_, .x = o_.noun});
        return false;
      default:
        tale.meet(a_, c_);
        o_.holder = &a_;
        tale.tell({"\"%O is mine,\" said %A %D. \"I had it from %C,\" said %B %E, and gave it back.",
                   "%B gave %O back at once. \"I did not know that it was yours; %C never said so.\""},
                  {.a = &a_, .b = &c_, .c = &b_, .o = &o_});
        return true;
    }
  }

 private:
  Person &a_, &b_, &c_;
  Object& o_;
  int stage_ = 0;
  bool lent_on_;
};

/// Work that cannot begin before two things are there.
class Work final : public Thread {
 public:
  Work(Tale& tale, const Task& task, Object& o, Object& q)
      : a_(tale.anyone()), task_(task), o_(o), q_(q), place_(tale.any_place()) {}
  bool advance(Tale& tale) override {
    const Slots s{.a = &a_,
                  .o = &o_,
                  .q = &q_,
                  .p = &tale.at(place_),
                  .x = task_.infinitive,
                  .y = task_.past,
                  .z = task_.outcome};
    switch (stage_++) {
      case 0:
        tale.tell({"%S wanted to %X. For that %e needed two things: %1 and %2.",
                   "\"I am going to %X,\" said %A %D. \"But not without %O and %Q.\"",
                   "%A had to %X that day, and it could not be done without %O and %Q."},
                  s);
        return false;
      case 1:
        tale.tell({"first %A went for %o.", "%S began with %o.", "in order to %X, %A first needed %o."}, s);
        tale.fetch(a_, o_);
        return false;
      case 2:
        tale.tell({"now only %Q was missing.", "%S had %o, but not yet %q.", "without %Q %A could not begin."}, s);
        tale.fetch(a_, q_);
        return false;
      default:
        tale.acquire(a_, o_), tale.acquire(a_, q_);
        tale.go(a_, place_);
        tale.tell({"with %O and %Q %A %Y, and %Z.", "%P, with %o in one hand and %q in the other, %S %Y; %Z.",
                   "then %A %Y, as %e had planned, and %Z."},
                  s);
        return true;
    }
  }

 private:
  Person& a_;
  const Task& task_;
  Object &o_, &q_;
  int place_, stage_ = 0;
};

/// A hides something; B finds it and carries it off; A looks where it was left.
class Hidden final : public Thread {
 public:
  Hidden(Tale& tale, Object& o)
      : a_(owner_of(tale, o)),
        b_(tale.other_than(a_)),
        o_(o),
        first_(tale.any_place()),
        second_(tale.place_but(first_)),
        cover_(tale.pick(kHidingPlaces)) {}
  bool advance(Tale& tale) override {
    const Slots s{.a = &a_, .b = &b_, .o = &o_, .p = &tale.at(first_), .r = &tale.at(second_), .x = cover_};
    const Slots found{.a = &b_, .b = &a_, .o = &o_, .p = &tale.at(first_), .r = &tale.at(second_), .x = cover_};
    switch (stage_++) {
      case 0:
        tale.acquire(a_, o_);
        tale.go(a_, first_);
        tale.tell({"when nobody was looking, %A hid %O %P, %X.", "%S pushed %O %X, so that nobody would find it %P."},
                  s);
        o_.holder = nullptr, o_.place = first_;
        tale.go(a_, tale.place_but(first_));
        return false;
      case 1:
        tale.go(b_, first_);
        tale.tell({"%X %S happened to see %O. \"Who left this here?\" %e said %D.",
                   "by chance %A looked %X, and there was %O."},
                  found);
        o_.holder = &b_;
        tale.go(b_, second_);
        tale.tell(
            {"there %A put %O on a shelf. %B knew nothing of it.", "%R it seemed safer to %m, so %e left %O there."},
            found);
        o_.holder = nullptr, o_.place = second_;
        return false;
      case 2:
        tale.go(a_, first_);
        tale.tell({"%S looked %X, for that was where %e had hidden %O. There was nothing.",
                   "%A was sure that %O was still %P, %X. But the hiding place was empty."},
                  s);
        return false;
      default:
        tale.meet(a_, b_);
        tale.tell({"\"Did you take %O?\" %A asked %B %D. \"I found it %X and took it to %M,\" said %B %E.",
                   "\"If you miss %O,\" said %B %E, \"it is %R. I took it there.\""},
                  s);
        tale.fetch(a_, o_);
        return true;
    }
  }

 private:
  Person &a_, &b_;
  Object& o_;
  int first_, second_, stage_ = 0;
  std::string_view cover_;
};

std::unique_ptr<Thread> make_work(Tale& tale) {
  const Task& task = tale.pick(kTasks);
  Object* const o = tale.make_object(task.first);
  Object* const q = tale.make_object(task.second);
  if (o == nullptr || q == nullptr) return nullptr;
  return std::make_unique<Work>(tale, task, *o, *q);
}

template <class Kind>
std::unique_ptr<Thread> with_object(Tale& tale) {
  Object* const o = tale.claim_object();
  if (o == nullptr) return nullptr;
  return std::make_unique<Kind>(tale, *o);
}
}  // namespace

std::unique_ptr<Thread> make_object_thread(int kind, Tale& tale) {
  switch (kind) {
    case 0:
      return with_object<Promise>(tale);
    case 1:
      return with_object<Lost>(tale);
    case 2:
      return with_object<Loan>(tale);
    case 3:
      return with_object<Hidden>(tale);
    default:
      return make_work(tale);
  }
}

}  // namespace isoloss::stories
