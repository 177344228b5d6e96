// Maple Street 12, kitchen: an L of fitted units, the sink under the window, a small table on the left.
#version 3.7;
#include "room.inc"
#include "shapes.inc"
#include "materials.inc"
#include "outdoors.inc"
#include "decor.inc"
#include "seating.inc"
#include "furniture.inc"
#include "kitchen_units.inc"

RoomSettings()
PropertyCamera(<-1.75, 1.52, 0.15>, <0.72, 0.98, 3.9>, 20, -1.3)

// Daylight
Sun(38, 48, 24)
SkyPortal(<-0.35, 1.62, 4.19>, x * 1.6, y * 1.0, -z, 9)
SkyPortal(<-0.4, 1.3, -2.2>, x * 2.0, y * 1.9, z, 4)
SkyDome(7.5)

// The room
RoomShell(-1.95, 1.95, -2.4, 4.2, 2.55, box { <-1.2, 1.06, 4>, <0.5, 2.18, 5> }, Paint(<0.87, 0.87, 0.83>))
object { PlankFloor(-2.5, 4.4, -2, 2, 0.19, <0.36, 0.27, 0.19>, <0.60, 0.48, 0.36>, 0.10) rotate -y * 90 }
object { Skirting(<-1.95, 0, -2>, <-1.95, 0, 4.2>, x) }
object { Casement(1.7, 1.12, 2, Lacquer(<0.93, 0.93, 0.92>)) translate <-1.2, 1.06, 4.36> }
box { <-1.2, 1.05, 4.2>, <0.5, 1.062, 4.40> Tiles(<0.92, 0.92, 0.89>, 0.15, 0.15) }

// Units: along the back wall, then along the right wall
#local Front = Lacquer(<0.66, 0.70, 0.66>)
#local Back = union {
  object { DoorUnit(0.5, 1, Front) translate x * -1.95 }
  object { DrawerUnit(0.6, Front) translate x * -1.45 }
  object { DoorUnit(0.45, 1, Front) translate x * -0.85 }
  object { DoorUnit(0.45, 0, Front) translate x * -0.40 }
  object { DoorUnit(0.6, 1, Front) translate x * 0.05 }
  object { DoorUnit(0.70, 0, Front) translate x * 0.65 }
  difference {
    object { RoundBox(<3.9, 0.04, 0.63>, 0.006) translate <-1.95, 0.87, -0.02> }
    box { <-0.64, 0.8, 0.10>, <-0.16, 1, 0.48> }
    texture { Stone }
  }
  object { Sink() translate <-0.66, 0.912, 0.08> }
}
object { Back translate z * 3.6 }
#local Side = union {
  object { TallUnit(0.62, Front) translate x * 0.36 }
  object { DrawerUnit(0.8, Front) translate x * -0.44 }
  object { OvenUnit(0.6, Front) translate x * -1.04 }
  object { DoorUnit(0.56, 1, Front) translate x * -1.60 }
  object { RoundBox(<2.0, 0.04, 0.63>, 0.006) translate <-1.64, 0.87, -0.02> texture { Stone } }
  object { Hob() translate <-1.03, 0.911, 0.04> }
  object { Extractor(1.0) translate <-0.74, 1.58, 0.60> }
  object { WallUnit(0.8, 0.72, 0, Front) translate <-0.44, 1.48, 0.27> }
  object { WallUnit(0.5, 0.72, 1, Front) translate <-1.56, 1.48, 0.27> }
  object { WallUnit(0.6, 0.72, 1, Front) translate <-2.18, 1.48, 0.27> }
  box { <-2.2, 0.91, 0.592>, <0.36, 1.60, 0.60> Tiles(<0.92, 0.92, 0.89>, 0.20, 0.10) }
}
object { Side rotate y * 90 translate <1.35, 0, 2.0> }
box { <-1.95, 0.91, 4.192>, <1.95, 1.06, 4.20> Tiles(<0.92, 0.92, 0.89>, 0.20, 0.10) }
box { <0.5, 1.06, 4.192>, <1.95, 1.60, 4.20> Tiles(<0.92, 0.92, 0.89>, 0.20, 0.10) }
box { <-1.95, 1.06, 4.192>, <-1.2, 1.60, 4.20> Tiles(<0.92, 0.92, 0.89>, 0.20, 0.10) }

// On the worktop
object { Kettle() rotate y * 50 translate <1.62, 0.912, 3.45> }
object { Jars(3, <0.88, 0.85, 0.78>) translate <0.78, 0.912, 4.03> }
object { ChoppingBoard(3) translate <0.30, 0.912, 4.08> }
object { PottedGrass(0.07, 46, 0.22, <0.72, 0.45, 0.32>, 3) translate <0.26, 1.062, 4.30> }
object { PottedGrass(0.06, 40, 0.18, <0.85, 0.84, 0.80>, 5) translate <-0.98, 1.062, 4.30> }
object { FruitBowl(0.15, <0.88, 0.87, 0.84>) translate <-1.45, 0.912, 3.86> }
object { WallPlate() rotate y * 90 translate <1.94, 1.16, 2.05> }

// Breakfast table
object { RoundTable(0.45, 0.74, Oak(3), BlackMetal) translate <-1.12, 0, 2.35> }
object { DiningChair(Fabric(<0.36, 0.40, 0.38>, 0.004), Oak(4)) rotate y * -150 translate <-0.5, 0, 1.78> }
object { DiningChair(Fabric(<0.36, 0.40, 0.38>, 0.004), Oak(5)) rotate y * 10 translate <-1.42, 0, 2.88> }
object { Vase(0.17, <0.36, 0.44, 0.47>) translate <-1.10, 0.74, 2.4> }
object { Stems(12, 0.30, <0.80, 0.72, 0.56>, 2) translate <-1.10, 0.89, 2.4> }
#for (I, 0, 3)
  object { Downlight() translate <-0.9 + 1.6 * mod(I, 2), 2.546, 1.5 + 1.7 * int(I / 2)> }
#end

// Garden
Lawn(-0.5, 1.4)
object { Hedge(22, 2.1, 0.8, <0.26, 0.37, 0.17>, 1.3) translate <-12, -0.5, 11> }
object { Tree(7, <0.35, 0.46, 0.20>, 1.3, 51) translate <-4.2, -0.5, 14> }
object { Tree(6, <0.42, 0.48, 0.22>, 1.3, 63) translate <1.5, -0.5, 16> }
object { House(10, 8, 5.2, 1.6) rotate y * 12 translate <-9, -0.5, 24> }
