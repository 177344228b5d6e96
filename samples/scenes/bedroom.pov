// Maple Street 12, bedroom: bed against the far wall, window on the left, wardrobe on the right.
#version 3.7;
#include "room.inc"
#include "shapes.inc"
#include "materials.inc"
#include "outdoors.inc"
#include "decor.inc"
#include "seating.inc"
#include "furniture.inc"

RoomSettings()
PropertyCamera(<1.35, 1.50, -0.25>, <-0.32, 0.98, 4.0>, 20, 1.4)

// Daylight from the left, two lamps by the bed
Sun(-66, 47, 13)
SkyPortal(<-1.99, 1.5, 2.1>, z * 1.6, y * 1.3, x, 8)
SkyPortal(<0.6, 1.3, -2.2>, x * 1.4, y * 1.9, z, 1.8)
SkyDome(7.5)
#macro Bulb(Where)
  light_source { Where 0.16 * <1.0, 0.70, 0.40> fade_distance 0.5 fade_power 2 area_light x * 0.08, z * 0.08, 2, 2 circular orient jitter }
#end
Bulb(<-1.42, 1.02, 3.78>)
Bulb(<1.02, 1.02, 3.78>)

// The room
RoomShell(-2, 2, -2.4, 4.2, 2.5, box { <-3, 0.80, 1.25>, <-1.9, 2.2, 2.95> }, Paint(<0.88, 0.86, 0.83>))
box { <-2, 0, 4.196>, <2, 2.5, 4.21> Paint(<0.50, 0.56, 0.56>) }
PlankFloor(-2.1, 2.1, -2.5, 4.3, 0.14, <0.50, 0.39, 0.28>, <0.74, 0.62, 0.48>, 0.10)
object { Skirting(<-2, 0, 4.2>, <2, 0, 4.2>, -z) }
object { Skirting(<-2, 0, -2>, <-2, 0, 4.2>, x) }
object { Casement(1.7, 1.4, 2, Lacquer(<0.93, 0.93, 0.92>)) rotate -y * 90 translate <-2.16, 0.80, 1.25> }
object { RoundBox(<0.28, 0.03, 1.86>, 0.01) translate <-2.2, 0.775, 1.17> Lacquer(<0.93, 0.93, 0.92>) }
#local Drape = Linen(<0.83, 0.80, 0.74>)
object { Curtain(0.50, 2.3, 0.09, 5, 2) rotate -y * 90 translate <-1.90, 0.02, 0.80> texture { Drape } }
object { Curtain(0.50, 2.3, 0.09, 5, 7) rotate -y * 90 translate <-1.90, 0.02, 2.90> texture { Drape } }
cylinder { <-1.90, 2.34, 0.6>, <-1.90, 2.34, 3.6>, 0.013 texture { Brass } }

// Furniture
object { Bed(1.6, <0.62, 0.57, 0.50>, <0.93, 0.92, 0.90>, <0.90, 0.89, 0.86>, <0.34, 0.42, 0.44>) translate <-0.2, 0, 2.0> }
#macro Bedside() Cupboard(0.46, 0.52, 0.38, 1, 2, Oak(3), Oak(4)) #end
object { Bedside() translate <-1.65, 0, 3.78> }
object { Bedside() translate <0.79, 0, 3.78> }
object { TableLamp(<0.78, 0.74, 0.68>, 1.1) translate <-1.42, 0.52, 3.98> }
object { TableLamp(<0.78, 0.74, 0.68>, 1.1) translate <1.02, 0.52, 3.98> }
object { BookStack(2, 3) scale 0.8 rotate y * 10 translate <0.92, 0.52, 3.86> }
object { FiddleLeaf(1.6, <0.80, 0.78, 0.74>, 4) translate <1.62, 0, 3.8> }
object { Rug(2.5, 1.5, <0.80, 0.77, 0.71>, <0.66, 0.60, 0.52>) translate <-1.45, 0.001, 1.15> }
object { Picture(1.15, 0.75, Art_Fields, Oak(12)) translate <-0.2, 1.72, 4.19> }
object { Radiator(1.3, 0.55) rotate -y * 90 translate <-1.99, 0.14, 1.45> }
object { Pendant(0.45, 0.24, <0.88, 0.84, 0.76>) translate <-0.2, 2.5, 2.3> }
object { WallPlate() translate <1.22, 1.1, 4.195> }

// Garden, to the left of the house
Lawn(-3.2, 1.4)
object { Tree(8.5, <0.35, 0.46, 0.20>, 1.4, 51) translate <-15, -3.2, 5.5> }
object { Tree(7.5, <0.42, 0.48, 0.22>, 1.4, 63) translate <-19, -3.2, 12> }
object { House(10, 8, 5.2, 1.8) rotate -y * 78 translate <-26, -3.2, 9> }
object { Tree(8, <0.30, 0.41, 0.19>, 1.4, 71) translate <-22, -3.2, 17> }
object { Tree(9, <0.38, 0.46, 0.22>, 1.4, 83) translate <-30, -3.2, 24> }
object { Hedge(40, 3.2, 0.8, <0.28, 0.38, 0.19>, 1.4) rotate -y * 60 translate <-40, -3.2, 10> }
