/** The files that Hadoop's daemons and clients are configured with. */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"

export type Properties = Readonly<Record<string, string>>

const escapeXml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

export const siteXml = (properties: Properties) =>
  `<?xml version="1.0"?>\n<configuration>\n${Object.entries(properties)
    .map(([name, value]) => `  <property><name>${name}</name><value>${escapeXml(value)}</value></property>\n`)
    .join("")}</configuration>\n`

export const log4j = `log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
`

export const writeConf = (directory: string, properties: Properties) =>
  Effect.sync(() => {
    Fs.mkdirSync(directory, { recursive: true })
    Fs.writeFileSync(Path.join(directory, "core-site.xml"), siteXml(properties))
    Fs.writeFileSync(Path.join(directory, "hdfs-site.xml"), siteXml(properties))
    Fs.writeFileSync(Path.join(directory, "log4j.properties"), log4j)
    // The numbers of /jmx are a second old at most, not ten.
    Fs.writeFileSync(Path.join(directory, "hadoop-metrics2.properties"), "*.period=1\n")
  })
