/**
 * The things of the richer world: what each is called, and by which names two sets of drawings have it.
 *
 * The drawings are Microsoft's Fluent Emoji (MIT) and Google's Noto Emoji (Apache 2.0), as npm's `@iconify-json/…`
 * packages hold them. Chosen by eye: whole bodies that a picture of 64 pixels still shows; no faces, hands, flags, signs
 * or lettering, and nothing that is close to a held-out concept (`concepts.ts`).
 */

/** The hands that drew them. */
export const HANDS = ["fluent", "noto"] as const;
export type Hand = typeof HANDS[number];

/** One kind of thing. */
export interface IconThing {
  /** One word. */
  readonly name: string;
  /** More than one of it; undefined where the name itself is a plural ("scissors"), which has no article. */
  readonly plural?: string;
  /** What each set calls it; undefined where the set has none that is fit. */
  readonly ids: Readonly<Record<Hand, string | undefined>>;
  /** It has one main colour, which can be turned into another. */
  readonly coloured: boolean;
  /** Captions name it. The others lend their shapes to made-up kinds: a small model learns sixty names well, two hundred badly. */
  readonly named: boolean;
}

/**
 * A line each: `name[/plural] [id] [options]`. The id is the name if left out. Options: `*` coloured, `+` named, `-fluent`, `-noto` not by
 * that hand, `s` a plural by itself.
 */
const LIST = `
accordion *
ambulance
anchor * +
ant *
avocado +
backpack *
banana +
barrel oil-drum *
basket
basketball *
bat *
bathtub * +
bed *
bee honeybee +
beetle *
bell * +
bomb *
bone *
book blue-book *
boot hiking-boot
bottle bottle-with-popping-cork
briefcase *
broccoli/broccolis *
bucket *
buffalo/buffalos water-buffalo *
bulb light-bulb *
burger hamburger
bus/buses +
butterfly/butterflies +
cactus/cactuses * +
cake birthday-cake +
camel *
camera +
candy/candies
cap billed-cap *
carrot +
cheese/cheeses cheese-wedge *
cherries s +
church/churches
clover four-leaf-clover *
coat *
computer desktop-computer
cone soft-ice-cream
cookie
corn/corns ear-of-corn
cow
crab * +
crocodile *
croissant
crown * +
cupcake
deer/deer *
diamond gem-stone *
dice/dice game-die *
dinosaur sauropod * +
dog -noto * +
dolphin *
donkey
door *
doughnut +
dove *
dress/dresses *
drum *
duck +
eagle
egg *
eggplant *
elephant * +
factory/factories
feather *
fir evergreen-tree * +
firetruck fire-engine *
fish/fish * +
flame fire * +
frog * +
ghost * +
gift wrapped-gift
giraffe +
glove boxing-glove *
goat *
goose/geese *
gorilla *
grapes s *
guitar * +
hammer
hedgehog
helicopter * +
helmet military-helmet *
hippo hippopotamus *
horse * +
hotdog hot-dog
jeans s *
jellyfish/jellyfish *
kangaroo *
key * +
kite
ladybird lady-beetle *
lantern red-paper-lantern * +
leaf/leaves maple-leaf * +
lemon *
lifebuoy ring-buoy *
llama *
loaf/loaves bread *
lobster *
lock locked *
magnet *
monkey *
mouse/mice *
mushroom brown-mushroom +
octopus/octopuses * +
onion *
owl * +
palm palm-tree +
parrot
peach/peaches *
peacock
pear *
pencil
penguin +
pepper bell-pepper *
pig *
pineapple +
plane airplane * +
postbox/postboxes *
purse *
rabbit * +
radio *
rhino rhinoceros *
rooster +
rose *
saucer flying-saucer
saxophone * +
scarf/scarves *
scooter motor-scooter *
seal *
shark *
sheep/sheep ewe -noto +
shell spiral-shell *
shield *
ship
shirt t-shirt *
shoe running-shoe *
skate roller-skate
sled *
snail +
snake *
spider *
squirrel chipmunk *
star * +
statue moai *
strawberry/strawberries * +
suitcase luggage *
sun *
sunflower +
swan *
taxi *
teapot * +
telephone *
television
temple classical-building *
tent * +
tiger
toilet *
tomato/tomatoes *
toolbox/toolboxes *
tower tokyo-tower *
tractor *
train bullet-train +
tram tram-car
tree deciduous-tree
trophy/trophies *
truck pickup-truck *
trumpet *
tulip
turtle +
vase amphora *
volcano
watermelon
whale spouting-whale * +
`;

function parse(line: string): IconThing {
  const [word, ...rest] = line.split(" ");
  const [name, plural] = word.split("/");
  const id = rest.find((part) => part.length > 1 && !part.startsWith("-")) ?? name;
  const by = (hand: Hand) => rest.includes(`-${hand}`) ? undefined : id;
  return {
    name,
    ...(rest.includes("s") ? {} : { plural: plural ?? `${name}s` }),
    ids: { fluent: by("fluent"), noto: by("noto") },
    coloured: rest.includes("*"),
    named: rest.includes("+"),
  };
}

/** All of them, for their shapes. */
export const ICON_SHAPES: readonly IconThing[] = LIST.trim().split("\n").map(parse);
/** Those that captions name; the classifier of the richer model has them after `CATEGORIES`, in this order: append, never reorder. */
export const ICON_THINGS: readonly IconThing[] = ICON_SHAPES.filter((thing) => thing.named);
