import Glibc
import LinuxIO
import Testing

@Suite struct DescriptorTests {
    /// The write end of a pipe tells whether the read end is still open.
    private func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        return (ends[0], ends[1])
    }

    private func isReaderGone(_ writer: Int32) -> Bool {
        var entry = pollfd(fd: writer, events: 0, revents: 0)
        return poll(&entry, 1, 0) == 1 && entry.revents & Int16(POLLERR) != 0
    }

    @Test func closesWhenItIsDropped() throws {
        let ends = try makePipe()
        defer { close(ends.write) }
        do {
            let descriptor = Descriptor(adopting: ends.read)
            #expect(!isReaderGone(ends.write))
            _ = consume descriptor
        }
        #expect(isReaderGone(ends.write))
    }

    @Test func closesWhenItsTakerThrows() throws {
        func refuse(_ descriptor: consuming Descriptor) throws(SystemError) {
            throw SystemError(errno: EINVAL, "take it")
        }
        let ends = try makePipe()
        defer { close(ends.write) }
        #expect(throws: SystemError.self) { try refuse(Descriptor(adopting: ends.read)) }
        #expect(isReaderGone(ends.write))
    }

    @Test func leavesOpenWhatWasTaken() throws {
        let ends = try makePipe()
        defer { close(ends.write) }
        let number = Descriptor(adopting: ends.read).take()
        #expect(number == ends.read)
        #expect(!isReaderGone(ends.write))
        #expect(close(number) == 0)
    }

    @Test func copiesAreClosedOnTheirOwn() throws {
        let ends = try makePipe()
        defer { close(ends.write) }
        let first = Descriptor(adopting: ends.read)
        let second = try first.duplicate()
        #expect(second.number != first.number)
        #expect(fcntl(second.number, F_GETFD) & FD_CLOEXEC != 0)
        _ = consume first
        #expect(!isReaderGone(ends.write))
        _ = consume second
        #expect(isReaderGone(ends.write))
    }

    @Test func closesWithItsLastHolder() throws {
        let ends = try makePipe()
        defer { close(ends.write) }
        var holders = [SharedDescriptor(Descriptor(adopting: ends.read))]
        holders.append(holders[0])
        holders.removeFirst()
        #expect(!isReaderGone(ends.write))
        holders.removeFirst()
        #expect(isReaderGone(ends.write))
    }

    @Test func saysWhatCouldNotBeOpened() {
        #expect(throws: SystemError(errno: ENOENT, "open /nowhere")) {
            _ = try Descriptor(opening: "/nowhere", O_RDONLY)
        }
        #expect(throws: SystemError(errno: EMFILE, "open it")) { _ = try Descriptor(opened: -EMFILE, "open it") }
    }
}
