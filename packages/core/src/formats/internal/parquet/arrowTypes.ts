/** `Type` of apache-arrow, whose numbers are part of the Arrow format: for files that do not load the library. */

export const Null = 1
export const Int = 2
export const Float = 3
export const Binary = 4
export const Utf8 = 5
export const Bool = 6
export const Decimal = 7
export const Date_ = 8
export const Time = 9
export const Timestamp = 10
export const List = 12
export const Struct = 13
export const FixedSizeBinary = 15
export const FixedSizeList = 16
export const Map_ = 17
export const Duration = 18
export const LargeBinary = 19
export const LargeUtf8 = 20
export const LargeList = 21
export const BinaryView = 23
export const Utf8View = 24
export const Dictionary = -1
