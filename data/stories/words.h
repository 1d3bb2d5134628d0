// The vocabulary of the stories. Every entry fits into every sentence that uses its table: that is the rule for adding
// one.
#pragma once

#include <array>
#include <string_view>

namespace isoloss::stories {

inline constexpr std::string_view kWomen[] = {
    "Ada",   "Berta", "Clara",  "Dora",  "Edith",  "Frida", "Greta", "Hanna", "Ines",   "Judith", "Karin", "Lena",
    "Mara",  "Nora",  "Oda",    "Paula", "Quilla", "Rosa",  "Sonja", "Tilda", "Ursula", "Vera",   "Wilma", "Yara",
    "Zelda", "Alma",  "Britta", "Celia", "Dina",   "Elsa",  "Flora", "Gerda", "Hilda",  "Ida",    "Jana",  "Katja",
    "Lotte", "Maud",  "Nell",   "Olga",  "Petra",  "Ruth",  "Selma", "Thea",  "Una",    "Viola",  "Wanda", "Yvonne"};
inline constexpr std::string_view kMen[] = {
    "Arno", "Ben",    "Carl",  "David",  "Emil",    "Felix", "Georg",  "Hugo",   "Ivan",  "Jonas",   "Kurt",   "Leo",
    "Max",  "Nils",   "Otto",  "Paul",   "Quentin", "Rolf",  "Simon",  "Tom",    "Udo",   "Viktor",  "Walter", "Yorick",
    "Zeno", "Adam",   "Boris", "Conrad", "Dirk",    "Erik",  "Frank",  "Gustav", "Henry", "Igor",    "Jakob",  "Klaus",
    "Lars", "Magnus", "Noah",  "Oscar",  "Peter",   "Ralph", "Stefan", "Theo",   "Uwe",   "Vincent", "Willem", "Yusuf"};

inline constexpr std::string_view kRoles[] = {
    "baker",      "teacher",  "carpenter", "painter",        "nurse",   "gardener", "shoemaker",
    "clockmaker", "weaver",   "beekeeper", "smith",          "potter",  "doctor",   "librarian",
    "sailor",     "shepherd", "cook",      "letter carrier", "tailor",  "musician", "ranger",
    "student",    "farmer",   "miller",    "printer",        "glazier", "saddler",  "singer"};

/// A trait shows in how somebody speaks, so it can be told from the speech and the speech from it.
struct Trait {
  std::string_view adjective, manner, habit;
};
inline constexpr Trait kTraits[] = {
    {"patient", "calmly", "never hurried, not even when it rained"},
    {"careful", "slowly", "always looked twice before taking a step"},
    {"curious", "eagerly", "wanted to know the reason for everything"},
    {"forgetful", "after a long pause", "often walked into a room and no longer knew why"},
    {"stubborn", "firmly", "had not changed an opinion in years"},
    {"cheerful", "with a laugh", "hummed from morning till night"},
    {"shy", "in a low voice", "liked best to listen"},
    {"proud", "loudly", "did not like to ask for help"},
    {"clever", "at once", "could do long sums without paper"},
    {"generous", "warmly", "gave away more than anybody else in the place"},
    {"impatient", "sharply", "could not stand still for a minute"},
    {"honest", "plainly", "had never told a lie that anybody could remember"},
    {"dreamy", "softly", "spent whole evenings looking at the clouds"},
    {"strict", "sternly", "counted everything that could be counted"}};

struct Place {
  std::string_view preposition, name;
};
/// The last place of a setting lies apart: only the thread about the way there uses it.
struct Setting {
  std::string_view description;
  std::array<Place, 8> places;
};
inline constexpr Setting kSettings[] = {{"in a village between two hills",
                                         {{{"at", "the mill"},
                                           {"at", "the well"},
                                           {"in", "the smithy"},
                                           {"in", "the barn"},
                                           {"in", "the orchard"},
                                           {"at", "the inn"},
                                           {"in", "the churchyard"},
                                           {"on", "the far side of the river"}}}},
                                        {"in a fishing village on a cold coast",
                                         {{{"on", "the pier"},
                                           {"at", "the fish market"},
                                           {"in", "the boathouse"},
                                           {"on", "the beach"},
                                           {"in", "the chapel"},
                                           {"in", "the rope shop"},
                                           {"in", "the net loft"},
                                           {"in", "the lighthouse"}}}},
                                        {"in a valley high in the mountains",
                                         {{{"in", "the stable"},
                                           {"in", "the cheese cellar"},
                                           {"in", "the meadow"},
                                           {"at", "the waterfall"},
                                           {"in", "the chapel"},
                                           {"at", "the guest house"},
                                           {"in", "the woodshed"},
                                           {"in", "the upper hut"}}}},
                                        {"at a boarding school at the edge of a wood",
                                         {{{"in", "the library"},
                                           {"in", "the kitchen"},
                                           {"in", "the garden"},
                                           {"in", "the workshop"},
                                           {"in", "the attic"},
                                           {"in", "the music room"},
                                           {"at", "the front gate"},
                                           {"in", "the old pavilion"}}}},
                                        {"in a town with narrow streets",
                                         {{{"at", "the station"},
                                           {"in", "the bakery"},
                                           {"in", "the post office"},
                                           {"in", "the park"},
                                           {"in", "the museum"},
                                           {"at", "the market"},
                                           {"in", "the tea house"},
                                           {"in", "the clock tower"}}}},
                                        {"on an island that no ferry visited in winter",
                                         {{{"in", "the cove"},
                                           {"in", "the goat shed"},
                                           {"at", "the spring"},
                                           {"in", "the cave"},
                                           {"on", "the jetty"},
                                           {"in", "the schoolhouse"},
                                           {"in", "the smokehouse"},
                                           {"in", "the old fort"}}}},
                                        {"on a farm beside a long lake",
                                         {{{"in", "the hen house"},
                                           {"at", "the pond"},
                                           {"in", "the hayloft"},
                                           {"in", "the kitchen"},
                                           {"in", "the potato field"},
                                           {"in", "the tool shed"},
                                           {"in", "the dairy"},
                                           {"in", "the summer pasture"}}}},
                                        {"in a camp of foresters by a river",
                                         {{{"at", "the sawmill"},
                                           {"in", "the clearing"},
                                           {"in", "the cabin"},
                                           {"at", "the ferry"},
                                           {"at", "the hollow oak"},
                                           {"in", "the cookhouse"},
                                           {"at", "the charcoal pit"},
                                           {"at", "the upper dam"}}}},
                                        {"in a castle that belonged to nobody any more",
                                         {{{"in", "the great hall"},
                                           {"in", "the kitchen"},
                                           {"in", "the armoury"},
                                           {"in", "the stables"},
                                           {"in", "the rose garden"},
                                           {"in", "the chapel"},
                                           {"at", "the gatehouse"},
                                           {"in", "the north tower"}}}},
                                        {"at a weather station in the snow",
                                         {{{"under", "the dome"},
                                           {"in", "the radio room"},
                                           {"in", "the storeroom"},
                                           {"in", "the sledge shed"},
                                           {"in", "the mess room"},
                                           {"in", "the engine house"},
                                           {"in", "the sick bay"},
                                           {"in", "the hut on the ice"}}}},
                                        {"in a small university town",
                                         {{{"in", "the reading room"},
                                           {"in", "the laboratory"},
                                           {"in", "the botanical garden"},
                                           {"at", "the bookshop"},
                                           {"in", "the lecture hall"},
                                           {"in", "the coffee house"},
                                           {"on", "the old wall"},
                                           {"in", "the observatory"}}}},
                                        {"in a village on the edge of the desert",
                                         {{{"at", "the cistern"},
                                           {"in", "the date garden"},
                                           {"at", "the bazaar"},
                                           {"in", "the caravan yard"},
                                           {"in", "the pottery"},
                                           {"on", "the roof terrace"},
                                           {"at", "the south gate"},
                                           {"at", "the second oasis"}}}}};

struct Thing {
  std::string_view noun;
  std::array<std::string_view, 5> adjectives;
};
inline constexpr Thing kThings[] = {{"key", {"brass", "iron", "rusty", "silver", "tiny"}},
                                    {"lantern", {"tin", "green", "old", "copper", "dented"}},
                                    {"map", {"folded", "torn", "hand-drawn", "faded", "blue"}},
                                    {"kite", {"red", "paper", "striped", "yellow", "patched"}},
                                    {"drum", {"wooden", "painted", "small", "round", "loud"}},
                                    {"violin", {"dark", "borrowed", "old", "dusty", "child's"}},
                                    {"basket", {"willow", "deep", "round", "broken", "light"}},
                                    {"umbrella", {"black", "striped", "silk", "huge", "green"}},
                                    {"penknife", {"sharp", "horn", "silver", "blunt", "folding"}},
                                    {"rope", {"long", "thick", "tarred", "new", "frayed"}},
                                    {"hammer", {"heavy", "small", "iron", "borrowed", "wooden"}},
                                    {"book", {"thick", "leather", "thin", "blue", "unfinished"}},
                                    {"letter", {"sealed", "crumpled", "long", "unsigned", "yellow"}},
                                    {"photograph", {"faded", "framed", "small", "brown", "torn"}},
                                    {"compass", {"brass", "cracked", "silver", "naval", "tiny"}},
                                    {"telescope", {"brass", "short", "heavy", "old", "borrowed"}},
                                    {"whistle", {"tin", "bone", "silver", "wooden", "shrill"}},
                                    {"bell", {"bronze", "little", "cracked", "ship's", "silver"}},
                                    {"teapot", {"blue", "china", "chipped", "tin", "round"}},
                                    {"blanket", {"woollen", "grey", "warm", "checked", "thin"}},
                                    {"scarf", {"red", "woollen", "silk", "long", "green"}},
                                    {"hat", {"straw", "felt", "black", "feathered", "wide"}},
                                    {"flute", {"wooden", "silver", "thin", "old", "borrowed"}},
                                    {"mirror", {"round", "cracked", "oval", "small", "gilded"}},
                                    {"spade", {"long", "rusty", "new", "broad", "heavy"}},
                                    {"bucket", {"tin", "leaky", "blue", "wooden", "deep"}},
                                    {"candlestick", {"silver", "brass", "bent", "tall", "heavy"}},
                                    {"ring", {"gold", "plain", "silver", "twisted", "thin"}},
                                    {"box", {"cedar", "locked", "flat", "painted", "little"}},
                                    {"kettle", {"copper", "black", "dented", "iron", "big"}},
                                    {"flag", {"blue", "torn", "white", "striped", "red"}},
                                    {"saw", {"long", "rusty", "sharp", "small", "new"}},
                                    {"brush", {"broad", "fine", "stiff", "worn", "new"}},
                                    {"notebook", {"green", "waterproof", "thin", "half-empty", "red"}},
                                    {"magnet", {"strong", "horseshoe", "red", "heavy", "tiny"}},
                                    {"chisel", {"sharp", "narrow", "steel", "blunt", "old"}}};

/// Work that takes two things; the nouns are found in kThings.
struct Task {
  std::string_view infinitive, past, first, second, outcome;
};
inline constexpr Task kTasks[] = {
    {"mend the broken fence", "mended the broken fence", "hammer", "saw", "it stood as straight as a ruler"},
    {"hang a swing in the big tree", "hung a swing in the big tree", "rope", "saw", "the children queued up to try it"},
    {"signal to the ship", "signalled to the ship", "lantern", "flag", "the ship answered with three flashes"},
    {"find the hidden spring", "found the hidden spring", "map", "compass",
     "the water was so cold that it hurt the teeth"},
    {"plant a pear tree", "planted a pear tree", "spade", "bucket", "it had its first leaf a week later"},
    {"play at the dance", "played at the dance", "violin", "drum", "nobody went home before midnight"},
    {"cook soup for everybody", "cooked soup for everybody", "kettle", "basket", "not a spoonful was left over"},
    {"watch the comet", "watched the comet", "telescope", "blanket", "its tail was as long as a hand"},
    {"catch the runaway goat", "caught the runaway goat", "rope", "bell", "the goat looked more pleased than anybody"},
    {"carve a sign for the door", "carved a sign for the door", "chisel", "brush",
     "it could be read from across the way"},
    {"copy the old inscription", "copied the old inscription", "notebook", "lantern",
     "one word in it was new to everyone"},
    {"get the nails out of the ashes", "got the nails out of the ashes", "magnet", "bucket",
     "hardly one of them was bent"},
    {"fly a message over the wall", "flew a message over the wall", "kite", "notebook",
     "an answer came back within the hour"},
    {"open the jammed door", "opened the jammed door", "hammer", "key", "there was nothing behind it but a broom"}};

struct Countable {
  std::string_view singular, plural, verb;  ///< verb: how one comes by them, anywhere
};
inline constexpr Countable kCountables[] = {
    {"apple", "apples", "bought"},    {"plum", "plums", "bought"},      {"egg", "eggs", "bought"},
    {"walnut", "walnuts", "found"},   {"shell", "shells", "found"},     {"candle", "candles", "bought"},
    {"nail", "nails", "bought"},      {"button", "buttons", "found"},   {"biscuit", "biscuits", "bought"},
    {"pear", "pears", "got"},         {"lemon", "lemons", "bought"},    {"chestnut", "chestnuts", "found"},
    {"marble", "marbles", "won"},     {"stamp", "stamps", "collected"}, {"potato", "potatoes", "got"},
    {"feather", "feathers", "found"}, {"bun", "buns", "bought"},        {"fig", "figs", "bought"},
    {"radish", "radishes", "got"},    {"bead", "beads", "bought"}};

inline constexpr std::string_view kNumbers[] = {
    "no",         "one",        "two",          "three",       "four",       "five",     "six",
    "seven",      "eight",      "nine",         "ten",         "eleven",     "twelve",   "thirteen",
    "fourteen",   "fifteen",    "sixteen",      "seventeen",   "eighteen",   "nineteen", "twenty",
    "twenty-one", "twenty-two", "twenty-three", "twenty-four", "twenty-five"};

struct Weather {
  std::string_view now, because;
};
inline constexpr Weather kWeathers[] = {{"it was a bright, windy morning", "the wind was strong"},
                                        {"it had rained all night", "the ground was still wet"},
                                        {"fog lay over everything", "nobody could see far in the fog"},
                                        {"it was the hottest day of the year", "it was too hot to hurry"},
                                        {"the first snow had fallen", "the snow was deep"},
                                        {"the sky was grey and still", "it looked like rain"},
                                        {"there had been frost in the night", "the ground was slippery"},
                                        {"the sun shone as if it were May", "the day was so fine"}};

inline constexpr std::string_view kColours[] = {"silver", "golden", "crimson", "white",
                                                "black",  "amber",  "grey",    "scarlet"};
inline constexpr std::string_view kBeasts[] = {"heron", "otter", "badger", "falcon", "salmon", "hare", "owl", "lynx"};

struct Animal {
  std::string_view kind, likes, noise;
};
inline constexpr Animal kAnimals[] = {{"dog", "cheese", "barked"},      {"cat", "warm milk", "purred"},
                                      {"goat", "thistles", "bleated"},  {"donkey", "carrots", "brayed"},
                                      {"goose", "wet bread", "honked"}, {"pony", "oats", "snorted"},
                                      {"raven", "walnuts", "found"},    {"lamb", "clover", "bleated"}};
inline constexpr std::string_view kAnimalNames[] = {"Pepper",  "Button",  "Captain", "Mustard", "Shadow",
                                                    "Biscuit", "Duchess", "Comet",   "Pudding", "Rascal",
                                                    "Thimble", "Bramble", "Major",   "Nutmeg"};

inline constexpr std::string_view kHidingPlaces[] = {"under a loose board", "behind a barrel",
                                                     "inside an old boot",  "under a heap of sacks",
                                                     "on top of a beam",    "behind a stack of wood"};
/// What one notices anywhere; said of a place.
inline constexpr std::string_view kDetails[] = {"a fly was walking round the rim of a cup",
                                                "somebody had drawn a fish on the wall with chalk",
                                                "it smelled of smoke and wet wool",
                                                "the floor creaked at every step",
                                                "a spider had spun its web across the corner",
                                                "water dripped steadily into a tin",
                                                "two sparrows were quarrelling over a crumb",
                                                "the light fell in long stripes",
                                                "there was dust on everything",
                                                "a forgotten glove hung on a nail",
                                                "it was so still that one could hear a clock",
                                                "the wind rattled at something loose",
                                                "there was a smell of fresh bread",
                                                "a row of empty bottles stood along the wall",
                                                "a moth was circling round the lamp",
                                                "the shadows were already long",
                                                "a pair of boots stood there without an owner",
                                                "somewhere a child was practising the trumpet",
                                                "an old poster for a circus was peeling off",
                                                "sawdust lay in a heap, and a cat slept on it",
                                                "a ladder without rungs leaned in the corner",
                                                "the echo repeated every word",
                                                "a puddle showed a piece of the sky",
                                                "ants were carrying a straw three times their length"};
/// Small talk: question and answer.
struct Talk {
  std::string_view question, answer;
};
inline constexpr Talk kTalks[] = {
    {"Did you sleep well?", "Like a stone, until the cock crowed."},
    {"Do you think that the weather will hold?", "My knee says no, and my knee is never wrong."},
    {"What would you do with a thousand crowns?", "I would buy a boat and give it a silly name."},
    {"Have you ever seen the sea?", "Once, and I thought that it was the sky."},
    {"Why are you smiling?", "I was thinking of my grandmother's parrot."},
    {"Is it true that your uncle writes books?", "One book, and he is still at the first chapter."},
    {"How old is this place?", "Older than the oldest tree, they say."},
    {"What are you humming?", "A song about a miller who married the moon."},
    {"Shall we play chess tonight?", "Only if I may have the white pieces."},
    {"Do you believe in ghosts?", "Not before supper."},
    {"What did you want to be as a child?", "A juggler, but I kept dropping the plates."},
    {"Whose turn is it to sweep the floor?", "Yours, as it was last week."},
    {"Are you hungry?", "I could eat a horse with its saddle."},
    {"When does the train from the north come?", "On Thursdays, if it comes at all."},
    {"Is your sister still angry?", "She is, but she has begun to laugh about it."},
    {"Can you keep a secret?", "I have kept so many that I have lost count."}};

inline constexpr std::string_view kPurposes[] = {
    "for my brother's wedding", "to show it to the doctor", "for a bet that I made", "to settle an old argument",
    "for the feast tomorrow",   "to learn how it was made", "because mine is lost",  "for a visitor from abroad"};
inline constexpr std::string_view kMeals[] = {"bread and cheese",    "cold potatoes",   "a bowl of soup",
                                              "pancakes with honey", "a dish of beans", "a slice of apple cake"};
inline constexpr std::string_view kHours[] = {"five", "six", "seven", "eight", "nine", "ten"};

}  // namespace isoloss::stories
