/** What an origin, an error, an event or a row set aside says of the place of a row in its file. */
export interface Place {
  readonly rowGroup?: number | undefined
  /** Row within the row group, else line, counted from 0. */
  readonly row: number
  /** The file's own line, counted from 1, where it is known. */
  readonly line?: number | undefined
  /** The byte behind which lines are counted, where it is not the file's beginning. */
  readonly afterByte?: number | undefined
}

/** With the line of a text file's row, where it is known. */
export const lineOf = (place: Place): Place =>
  place.rowGroup === undefined && place.afterByte === undefined ? { ...place, line: place.row + 1 } : place

/** `line 4`, `line 4 of those that begin behind byte 1024`, `row group 1, row 3`. */
export const placeOf = ({ afterByte, line, row, rowGroup }: Place): string => {
  if (line !== undefined) return `line ${line}`
  if (afterByte !== undefined) return `line ${row + 1} of those that begin behind byte ${afterByte}`
  return `${rowGroup === undefined ? "" : `row group ${rowGroup}, `}row ${row}`
}
