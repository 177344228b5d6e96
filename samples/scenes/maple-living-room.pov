// Maple Street 12, living room: a wide garden window at the far end, sofa on the right.
#version 3.7;
#include "room.inc"
#include "shapes.inc"
#include "materials.inc"
#include "outdoors.inc"
#include "decor.inc"
#include "seating.inc"
#include "furniture.inc"

RoomSettings()
PropertyCamera(<-2.25, 1.50, 0.25>, <0.70, 0.98, 4.6>, 21, 1.1)

// Daylight
Sun(-58, 34, 26)
SkyPortal(<0.2, 1.36, 5.19>, x * 3.2, y * 1.8, -z, 9)
SkyPortal(<0.6, 1.3, -2.2>, x * 1.6, y * 1.8, z, 1.6)
SkyDome(7.5)

// The room
#local Opening = box { <-1.5, 0.42, 5>, <1.9, 2.32, 6> }
RoomShell(-2.6, 2.6, -2.4, 5.2, 2.58, Opening, Paint(<0.88, 0.86, 0.82>))
object { PlankFloor(-2.5, 5.4, -2.7, 2.7, 0.15, Oak_Dark, Oak_Light, 0.12) rotate -y * 90 }
object { Skirting(<-2.6, 0, 5.2>, <2.6, 0, 5.2>, -z) }
object { Skirting(<2.6, 0, -2>, <2.6, 0, 5.2>, -x) }
object { Skirting(<-2.6, 0, -2>, <-2.6, 0, 5.2>, x) }
object { Casement(3.4, 1.9, 3, Lacquer(<0.93, 0.93, 0.92>)) translate <-1.5, 0.42, 5.36> }
object { RoundBox(<3.6, 0.035, 0.30>, 0.012) translate <-1.6, 0.39, 5.08> Lacquer(<0.93, 0.93, 0.92>) }
#local Drape = Linen(<0.80, 0.78, 0.74>)
object { Curtain(0.62, 2.40, 0.10, 6, 1) translate <-2.16, 0.02, 5.06> texture { Drape } }
object { Curtain(0.58, 2.40, 0.10, 6, 5) translate <1.93, 0.02, 5.06> texture { Drape } }
cylinder { <-2.3, 2.44, 5.06>, <2.55, 2.44, 5.06>, 0.013 texture { BlackMetal } }

// Furniture
object { Sofa(2.25, 3, <0.47, 0.50, 0.52>, Oak(2)) rotate y * 90 translate <1.62, 0, 3.95> }
object { Cushion(0.48, 0.48, 0.17, 2) rotate <20, 76, 0> translate <2.08, 0.68, 3.52> Fabric(<0.76, 0.52, 0.30>, 0.004) }
object { Cushion(0.46, 0.46, 0.16, 5) rotate <22, 102, 4> translate <2.06, 0.67, 2.12> Fabric(<0.82, 0.80, 0.75>, 0.004) }
object { Rug(2.3, 2.9, <0.76, 0.73, 0.68>, <0.50, 0.49, 0.48>) translate <-0.62, 0.001, 1.45> }
object { Table(0.66, 0.40, 1.2, Walnut(4), Walnut(8)) translate <0.42, 0.014, 2.25> }
object { BookStack(3, 2) rotate y * 70 translate <0.76, 0.414, 2.62> }
object { Bowl(0.13, <0.34, 0.40, 0.42>) translate <0.74, 0.414, 3.08> }
object { Vase(0.20, <0.84, 0.80, 0.74>) translate <0.64, 0.414, 2.38> }
object { LoungeChair(<0.72, 0.66, 0.55>) rotate y * -38 translate <-1.28, 0, 4.1> }
object { FloorLamp(0.0) translate <2.28, 0, 4.62> }
object { FiddleLeaf(1.45, <0.82, 0.80, 0.77>, 8) translate <-2.1, 0, 4.7> }
object { Sideboard(1.7, 3, Oak(9), Lacquer(<0.90, 0.89, 0.86>)) rotate -y * 90 translate <-2.15, 0, 2.55> }
object { TableLamp(<0.30, 0.36, 0.34>, 0) translate <-2.36, 0.62, 3.95> }
object { BookStack(4, 5) rotate y * 80 translate <-2.34, 0.62, 3.45> }
object { PottedGrass(0.09, 40, 0.30, <0.86, 0.84, 0.80>, 4) translate <-2.36, 0.62, 2.85> }
object { Picture(1.1, 0.75, Art_Fields, BlackMetal) rotate -y * 90 translate <-2.598, 1.58, 3.4> }
object { Picture(0.78, 1.0, Art_Dunes, Oak(12)) rotate y * 90 translate <2.598, 1.62, 3.25> }
object { Picture(0.58, 0.78, Art_Ink, Oak(14)) rotate y * 90 translate <2.598, 1.62, 2.3> }
object { WallPlate() rotate y * 90 translate <2.6, 0.30, 4.78> }

// Garden
Lawn(-0.45, 1.6)
object { Hedge(26, 1.7, 0.8, <0.26, 0.37, 0.17>, 1.5) translate <-11, -0.45, 15> }
object { House(9.5, 8, 5.3, 2.0) rotate y * -9 translate <3.2, -0.45, 25> }
object { Tree(7.5, <0.35, 0.46, 0.20>, 1.5, 21) translate <-2.6, -0.45, 17.5> }
object { Tree(9.5, <0.28, 0.40, 0.18>, 1.5, 33) translate <-9.5, -0.45, 23> }
object { Tree(5, <0.45, 0.50, 0.24>, 1.5, 45) translate <2.6, -0.45, 13> }
object { Fence(30, 1.6, <0.52, 0.44, 0.36>, 1.3) rotate y * -84 translate <9, -0.45, 6> }
