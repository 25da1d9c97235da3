/** How an origin, an error, an event or a row set aside describes the place of a row in its file. */
export interface Place {
  readonly rowGroup?: number | undefined
  /** Row in the row group, or line, counted from 0. */
  readonly row: number
  /** The file's own line, counted from 1, where it is known. */
  readonly line?: number | undefined
  /** The byte after which lines are counted, if it is not the beginning of the file. */
  readonly afterByte?: number | undefined
}

/** With the line of a row of a text file, where that is known. */
export const lineOf = (place: Place): Place =>
  place.rowGroup === undefined && place.afterByte === undefined ? { ...place, line: place.row + 1 } : place

/** `line 4`, `line 4 of those that begin after byte 1024`, `row group 1, row 3`. */
export const placeOf = ({ afterByte, line, row, rowGroup }: Place): string => {
  if (line !== undefined) return `line ${line}`
  if (afterByte !== undefined) return `line ${row + 1} of those that begin after byte ${afterByte}`
  return `${rowGroup === undefined ? "" : `row group ${rowGroup}, `}row ${row}`
}
