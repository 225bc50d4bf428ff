import LinuxIO
import Logging
import Synchronization
import Testing

@testable import Systemd

/// Keeps entries instead of sending them.
private final class RecordingSink: JournalSink {
    private let log = Mutex<[JournalEntry]>([])

    var entries: [JournalEntry] { log.withLock { $0 } }

    func send(_ entry: JournalEntry) throws(SystemError) {
        log.withLock { $0.append(entry) }
    }
}

@Suite struct JournalLogHandlerTests {
    private let sink = RecordingSink()

    private func logger(_ provider: Logger.MetadataProvider? = nil) -> Logger {
        Logger(label: "iommud") { label in
            var handler = JournalLogHandler(label: label, fieldPrefix: "IOMMUD_", sink: sink)
            handler.metadataProvider = provider
            return handler
        }
    }

    @Test func metadataBecomeFields() throws {
        var logger = logger()
        logger[metadataKey: "session"] = "vm1"
        logger.warning(
            "refused",
            metadata: [
                "ERRNO": "16", "device": "0000:01:00.0", "ids": [.stringConvertible(3), "four"],
                "peer": ["uid": "1000", "pid": "7"],
            ])
        let entry = try #require(sink.entries.first)
        #expect(entry.message == "refused")
        #expect(entry.priority == .warning)
        #expect(entry.location?.function == "metadataBecomeFields()")
        #expect(
            entry.fields.map { String(decoding: $0.bytes, as: UTF8.self) } == [
                "LOGGER=iommud", "ERRNO=16", "IOMMUD_DEVICE=0000:01:00.0", "IOMMUD_IDS=3 four",
                "IOMMUD_PEER_PID=7", "IOMMUD_PEER_UID=1000", "IOMMUD_SESSION=vm1",
            ])
    }

    @Test func theEventOverridesTheProviderAndTheProviderTheHandler() throws {
        var logger = logger(Logger.MetadataProvider { ["a": "provider", "b": "provider"] })
        logger[metadataKey: "a"] = "handler"
        logger[metadataKey: "c"] = "handler"
        logger.info("m", metadata: ["b": "event"])
        let fields = try #require(sink.entries.first).fields.dropFirst()
        #expect(fields.map(\.value) == ["provider", "event", "handler"])
    }

    @Test func quieterThanTheLevelIsNothing() {
        logger().debug("unseen")
        #expect(sink.entries.isEmpty)
    }

    @Test(arguments: zip(Logger.Level.allCases, [7, 7, 6, 5, 4, 3, 2]))
    func levelsMapToSyslog(level: Logger.Level, priority: Int) {
        #expect(level.journalPriority.rawValue == priority)
    }
}

@Suite struct TerminalLogHandlerTests {
    private func line(_ message: String, _ metadata: Logger.Metadata, isColoured: Bool = false) -> String {
        let handler = TerminalLogHandler(isColoured: isColoured) { _ in }
        return handler.line(
            for: LogEvent(
                level: .warning, message: "\(message)", metadata: metadata, source: nil, file: "", function: "",
                line: 0))
    }

    @Test func metadataFollowTheMessage() {
        let line = line("refused", ["device": "0000:01:00.0", "why": "two words", "empty": "", "MESSAGE_ID": "0f"])
        #expect(line == "warning: refused  device=0000:01:00.0 empty=\"\" why=\"two words\"")
    }

    @Test func clientDataCannotForgeALineOrAnEscapeSequence() {
        let line = line("a\nb", ["x": "1\n12:00:00 error: forged", "y": "\u{1b}[2J", "z": "q\"\\"])
        #expect(!line.contains("\n"))
        #expect(!line.contains("\u{1b}"))
        #expect(line.hasSuffix("z=\"q\\\"\\\\\""))
    }

    @Test func coloursOnlyTheLevel() {
        #expect(line("m", [:], isColoured: true) == "\u{1b}[33mwarning\u{1b}[0m: m")
    }

    @Test func writesOneLineWithTheTime() throws {
        let written = Mutex<[String]>([])
        let handler = TerminalLogHandler(isColoured: false) { line in written.withLock { $0.append(line) } }
        Logger(label: "test") { _ in handler }.error("broken")
        let line = try #require(written.withLock { $0.first })
        #expect(line.wholeMatch(of: /\d\d:\d\d:\d\d\.\d\d\d error: broken\n/) != nil)
    }
}
