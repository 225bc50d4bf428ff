import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import Systemd

/// Records what would go to the service manager.
private final class RecordingNotifier: ServiceNotifying {
    struct Sent: Equatable {
        var message: String
        var descriptors: [CInt]
    }
    private let log = Mutex<[Sent]>([])

    var sent: [Sent] { log.withLock { $0 } }

    func send(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        log.withLock { $0.append(Sent(message: message, descriptors: descriptors)) }
        return true
    }

    func sendAtOnce(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        try send(message, descriptors: descriptors)
    }

    func beginBarrier() throws(SystemError) -> Descriptor? { nil }

    func barrier(timeoutMicroseconds: UInt64) throws(SystemError) -> Bool { true }
}

@Suite struct DescriptorStoreTests {
    @Test func manyDescriptorsAreSplitAtTheKernelsLimit() throws {
        let notifier = RecordingNotifier()
        try #expect(DescriptorStore(notifier: notifier).store(Array(10..<610), name: "memory"))
        #expect(notifier.sent.map(\.descriptors.count) == [253, 253, 94])
        #expect(notifier.sent.flatMap(\.descriptors) == Array(10..<610))
        #expect(notifier.sent.allSatisfy { $0.message == "FDSTORE=1\nFDNAME=memory" })
    }

    @Test func storingNothingSendsNothing() throws {
        let notifier = RecordingNotifier()
        try #expect(DescriptorStore(notifier: notifier).store([], name: "memory") == false)
        #expect(notifier.sent.isEmpty)
    }

    @Test func removalNamesWhatGoes() throws {
        let notifier = RecordingNotifier()
        try DescriptorStore(notifier: notifier).remove(name: "session-7")
        #expect(notifier.sent == [.init(message: "FDSTOREREMOVE=1\nFDNAME=session-7", descriptors: [])])
    }

    @Test(arguments: ["", "a:b", "a\nb", "é", String(repeating: "x", count: 256)])
    func namesThatSystemdWouldReplaceAreRefused(name: String) {
        let notifier = RecordingNotifier()
        let store = DescriptorStore(notifier: notifier)
        #expect(throws: SystemError.self) { try store.store([1], name: name) }
        #expect(throws: SystemError.self) { try store.remove(name: name) }
        #expect(notifier.sent.isEmpty)
    }

    @Test(arguments: ["a", "session 7", String(repeating: "x", count: 255)])
    func namesThatSystemdTakesAreTaken(name: String) {
        #expect(DescriptorStore<RecordingNotifier>.isValidName(name))
    }
}
