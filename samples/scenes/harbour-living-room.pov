// Harbour View 3, living room: dim inside, a wide sliding door to the balcony and the bright harbour beyond.
#version 3.7;
#include "room.inc"
#include "shapes.inc"
#include "materials.inc"
#include "outdoors.inc"
#include "decor.inc"
#include "seating.inc"
#include "furniture.inc"

RoomSettings()
PropertyCamera(<2.0, 1.48, -0.75>, <-0.28, 1.02, 5.0>, 20, -1.0)

// Daylight
Sun(64, 38, 24)
SkyPortal(<0.1, 1.2, 5.39>, x * 4.2, y * 2.2, -z, 4.6)
SkyPortal(<-0.6, 1.3, -2.2>, x * 1.2, y * 1.8, z, 0.7)
SkyDome(6.5)

// The room
RoomShell(-2.9, 2.7, -2.4, 5.4, 2.6, box { <-2.1, -0.2, 5>, <2.3, 2.35, 6> }, Paint(<0.84, 0.84, 0.83>))
object { PlankFloor(-2.5, 5.75, -2.8, 3, 0.20, <0.40, 0.31, 0.23>, <0.63, 0.53, 0.42>, 0.07) rotate -y * 90 }
object { Skirting(<-2.9, 0, -2>, <-2.9, 0, 5.4>, x) }
object { Skirting(<2.7, 0, -2>, <2.7, 0, 5.4>, -x) }
object { Casement(4.4, 2.35, 3, BlackMetal) translate <-2.1, 0, 5.55> }
#local Drape = Linen(<0.66, 0.66, 0.65>)
object { Curtain(0.70, 2.5, 0.10, 7, 3) translate <-2.78, 0.02, 5.24> texture { Drape } }
object { Curtain(0.55, 2.5, 0.10, 5, 8) translate <2.12, 0.02, 5.24> texture { Drape } }
box { <-2.85, 2.53, 5.20>, <2.68, 2.58, 5.28> Lacquer(<0.93, 0.93, 0.92>) }

// Furniture
object { Rug(2.4, 3.0, <0.58, 0.58, 0.57>, <0.36, 0.38, 0.40>) translate <-2.0, 0.001, 1.7> }
object { Sofa(2.5, 3, <0.70, 0.66, 0.60>, BlackMetal) rotate -y * 90 translate <-1.92, 0, 1.9> }
object { Cushion(0.48, 0.48, 0.17, 2) rotate <20, -76, 0> translate <-2.36, 0.68, 2.40> Fabric(<0.22, 0.34, 0.44>, 0.004) }
object { Cushion(0.46, 0.46, 0.16, 5) rotate <22, -102, 4> translate <-2.32, 0.67, 3.86> Fabric(<0.22, 0.34, 0.44>, 0.004) }
object { Cushion(0.50, 0.32, 0.15, 9) rotate <24, -84, -2> translate <-2.26, 0.61, 2.84> Fabric(<0.86, 0.84, 0.80>, 0.004) }
object { RoundTable(0.42, 0.40, Walnut(4), BlackMetal) translate <-0.85, 0.014, 3.25> }
object { RoundTable(0.30, 0.50, Walnut(6), BlackMetal) translate <-0.42, 0.014, 2.68> }
object { BookStack(3, 4) rotate y * 30 translate <-0.92, 0.414, 3.2> }
object { Vase(0.22, <0.20, 0.28, 0.34>) translate <-0.66, 0.414, 3.42> }
object { Stems(16, 0.40, <0.72, 0.64, 0.50>, 4) translate <-0.66, 0.60, 3.42> }
object { LoungeChair(<0.30, 0.34, 0.36>) rotate y * 52 translate <0.35, 0, 4.55> }
object { FloorLamp(0) translate <-2.5, 0, 4.85> }
object { FiddleLeaf(1.6, <0.30, 0.31, 0.32>, 5) translate <2.25, 0, 4.72> }
object { Sideboard(2.0, 4, Oak(9), Lacquer(<0.88, 0.88, 0.86>)) rotate y * 90 translate <2.26, 0, 4.2> }
object { Television() rotate y * 90 translate <2.45, 0.62, 3.2> }
object { Picture(1.3, 0.9, Art_Ink, BlackMetal) rotate -y * 90 translate <-2.898, 1.62, 3.15> }
#for (I, 0, 3)
  object { Downlight() translate <-1.4 + 2.6 * mod(I, 2), 2.596, 1.8 + 2.0 * int(I / 2)> }
#end

// Balcony: deck, glass balustrade with a steel rail
union {
  #for (I, 0, 11)
    box { <-4, -0.06, 5.76 + I * 0.125>, <4, -0.02, 5.88 + I * 0.125> }
  #end
  Lit(<0.48, 0.42, 0.36>, 0.5)
  no_radiosity
}
cylinder { <-4, 1.06, 7.2>, <4, 1.06, 7.2>, 0.022 texture { Steel } no_radiosity }
#for (I, -3, 3)
  box { <I * 1.3 - 0.02, 0, 7.18>, <I * 1.3 + 0.02, 1.06, 7.22> texture { Steel } no_radiosity }
#end
box {
  <-4, 0.06, 7.195>, <4, 1.02, 7.205>
  pigment { srgbt <0.90, 0.96, 0.95, 0.92> } finish { diffuse 0.1 reflection 0.05 }
  no_radiosity no_shadow
}

// Harbour
Sea(-11, 0.35)
FarShore(420, 0.9)
#macro Moored(L, Hull, Heading, Where) object { SailBoat(L, Hull, 0.9) rotate y * Heading translate Where } #end
Moored(11, <0.93, 0.93, 0.91>, 20, <-9, -11, 46>)
Moored(9, <0.16, 0.24, 0.40>, 8, <-24, -11, 58>)
Moored(10, <0.92, 0.92, 0.90>, -14, <-36, -11, 70>)
Moored(12, <0.90, 0.90, 0.88>, 165, <-22, -11, 92>)
Moored(9, <0.62, 0.18, 0.16>, 30, <-2, -11, 78>)
Moored(10, <0.92, 0.92, 0.90>, 12, <-58, -11, 110>)
Moored(8, <0.92, 0.92, 0.90>, 190, <6, -11, 62>)
box { <-140, -11, 150>, <60, -9.6, 158> Lit(<0.62, 0.60, 0.56>, 0.6) no_radiosity }
#local S = seed(9);
#for (I, 0, 15)
  object { House(9 + 3 * rand(S), 8, 5 + 3 * rand(S), 1.2) translate <-150 + I * 14, -9.6, 190 + 14 * rand(S)> }
#end
