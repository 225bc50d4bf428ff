import Foundation
import Testing

@testable import Systemd

@Suite struct JournalTests {
    @Test func standardFieldsComeFirst() throws {
        let entry = JournalEntry(
            "a device was bound", priority: .notice, id: MessageID(0x0123_4567_89ab_cdef, 0xf),
            location: .init(file: "Bind.swift", line: 12, function: "bind()"), identifier: "iommud",
            fields: [try #require(JournalField("IOMMUD_DEVICE", "0000:01:00.0"))])
        #expect(
            entry.allFields.map { String(decoding: $0.bytes, as: UTF8.self) } == [
                "MESSAGE=a device was bound", "PRIORITY=5", "MESSAGE_ID=0123456789abcdef000000000000000f",
                "SYSLOG_IDENTIFIER=iommud", "CODE_FILE=Bind.swift", "CODE_LINE=12", "CODE_FUNC=bind()",
                "IOMMUD_DEVICE=0000:01:00.0",
            ])
    }

    @Test func valuesGoByteForByte() throws {
        let fields = try [("A", "1"), ("B", ""), ("C", "x\n\0%s")].map { try #require(JournalField($0, $1)) }
        let expected = Array("A=1\nB=\nC\n".utf8) + [5, 0, 0, 0, 0, 0, 0, 0] + Array("x\n\0%s\n".utf8)
        #expect(Journal.message(fields) == expected)
    }

    /// Whoever logs does not wait for a journal that is behind: what it has no room for is left out and counted.
    @Test func nobodyWaitsForTheJournal() async {
        await #expect(processExitsWith: .success) {
            let path = "/tmp/journal-test-\(getpid())"
            defer { unlink(path) }
            let behind = try FakeServiceManager(path: path)
            for number in 0..<100_000 where LeftOutEntries.count < 3 {
                try Journal(address: path).send(JournalEntry("entry \(number)"))
            }
            #expect(LeftOutEntries.count == 3)
            #expect(try behind.receive().text.hasPrefix("MESSAGE=entry 0\nPRIORITY=6\nSYSLOG_IDENTIFIER="))
        }
    }

    @Test func entriesAreTakenOrDroppedButNeverFormatted() throws {
        try Journal().send(JournalEntry("%s %n test of the journal sink", priority: .debug))
    }

    @Test(arguments: ["A", "IOMMUD_SESSION", "X9_"])
    func goodNames(name: String) {
        #expect(JournalField(name, "v")?.name == name)
    }

    @Test(arguments: ["", "_PID", "9A", "lower", "Ä", "A B", String(repeating: "A", count: 65)])
    func badNames(name: String) {
        #expect(JournalField(name, "v") == nil)
    }

    @Test(arguments: [
        ("session", "IOMMUD_", "IOMMUD_SESSION"), ("smmu-name", "IOMMUD_", "IOMMUD_SMMU_NAME"),
        ("9lives", "", "F_9LIVES"), ("é", "", "F___"), (String(repeating: "x", count: 99), "IOMMUD_", nil),
    ])
    func namesAreMadeOfAnyText(text: String, prefix: String, expected: String?) {
        let name = JournalField.name(from: text, prefix: prefix)
        #expect(JournalField.isValidName(name))
        if let expected { #expect(name == expected) }
    }

    @Test func messageIDsAreThirtyTwoDigits() {
        let text = "0f0102030405060708090a0b0c0d0e0f"
        #expect(MessageID(text)?.description == text)
        #expect(MessageID(text.uppercased())?.description == text)
        for bad in ["", "0f", text + "0", "+" + text.dropFirst(), text.dropLast() + "g"] {
            #expect(MessageID(String(bad)) == nil)
        }
    }
}

@Suite struct JournalStreamTests {
    @Test(arguments: ["", "1", "1:", ":2", "1:2:3", "a:b", "-1:2"])
    func nonsenseIsNoStream(text: String) {
        #expect(JournalStream(text) == nil)
    }

    @Test func aStreamIsItsDeviceAndInode() throws {
        let file = open("/dev/null", O_RDONLY)
        let other = open("/dev/zero", O_RDONLY)
        defer { close(file) }
        defer { close(other) }
        var status = stat()
        try #require(fstat(file, &status) == 0)
        let stream = try #require(JournalStream("\(status.st_dev):\(status.st_ino)"))
        #expect(stream.matches(descriptor: file))
        #expect(!stream.matches(descriptor: other))
        #expect(!stream.matches(descriptor: -1))
    }

    @Test func standardErrorIsComparedNotBelieved() async {
        await #expect(processExitsWith: .success) {
            setenv("JOURNAL_STREAM", "1:1", 1)
            #expect(!JournalStream.isStandardError)
            var status = stat()
            try #require(fstat(STDERR_FILENO, &status) == 0)
            setenv("JOURNAL_STREAM", "\(status.st_dev):\(status.st_ino)", 1)
            #expect(JournalStream.isStandardError)
        }
    }

    @Test(arguments: ["MESSAGE", "F"]) func longValuesAreAsLongAsTheyAreShown(name: String) throws {
        let room = 4095 - name.utf8.count - 1
        let fits = try #require(JournalField(name, String(repeating: "x", count: room)))
        #expect(fits.shortened == fits)
        let long = try #require(JournalField(name, fits.value + "x")).shortened
        #expect(long.bytes.count == 4095 && long.value.hasSuffix("x…"))
        // Not within a character of several bytes.
        let wide = try #require(JournalField(name, String(repeating: "€", count: room))).shortened
        #expect((4093...4095).contains(wide.bytes.count))
        #expect(wide.value.allSatisfy { $0 == "€" || $0 == "…" })
    }
}
