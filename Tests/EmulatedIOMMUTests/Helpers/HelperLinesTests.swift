import IOMMU
import Testing

@testable import EmulatedIOMMU

/// Who gets a helper, and when.
@Suite struct HelperLinesTests {
    private func job(_ key: UInt64, of uid: UInt32 = 1) -> HelperJob {
        HelperJob(.openFiles, for: ForeignTicket(key: key, uid: uid)) { _ in }
    }

    @Test func oneKeyIsDoneInOrder() {
        var lines = HelperLines(working: 8, stuckOfUser: 8)
        let jobs = (0..<3).map { _ in job(1) }
        for job in jobs { lines.append(job) }
        for job in jobs {
            let next = lines.next()
            #expect(next === job)
            #expect(lines.next() == nil, "the next waits for this one")
            lines.finished(job)
        }
        #expect(lines.isEmpty && lines.next() == nil)
    }

    /// One user's jobs take half of the helpers, and users take turns.
    @Test func usersTakeTurns() {
        var lines = HelperLines(working: 4, stuckOfUser: 8)
        for key in 0..<6 as Range<UInt64> { lines.append(job(key)) }
        let other = job(10, of: 2)
        lines.append(other)
        var begun: [HelperJob] = []
        while let next = lines.next() { begun.append(next) }
        #expect(begun.map(\.ticket.uid) == [1, 2, 1])
        lines.finished(other)
        #expect(lines.next() == nil, "also when nobody else is there")
        lines.finished(begun[0])
        #expect(lines.next()?.ticket.key == 2)
    }

    /// Those at work may all come to not answer: so many begin as the user may have of those.
    @Test func noMoreBeginThanMayGetStuck() {
        var lines = HelperLines(working: 16, stuckOfUser: 3)
        for key in 0..<6 as Range<UInt64> { lines.append(job(key)) }
        let first = (0..<3).compactMap { _ in lines.next() }
        #expect(first.count == 3 && lines.next() == nil)
        let behind = job(0)
        lines.append(behind)
        #expect(lines.stuck(first[0]).first === behind)
        #expect(lines.stuckKeys == [0] && lines.stuck(of: 1) == 1)
        #expect(lines.next() == nil)
        lines.finished(first[1])
        #expect(lines.next()?.ticket.key == 3)
        #expect(lines.next() == nil)
        // The one that got stuck comes back.
        lines.unstuck(first[0])
        lines.releaseStuck(of: 1)
        #expect(lines.stuckKeys.isEmpty && lines.next()?.ticket.key == 4)
    }

    @Test func whatNobodyWantsLeavesTheLine() {
        var lines = HelperLines(working: 2, stuckOfUser: 8)
        let (running, behind, ready) = (job(1), job(1), job(2))
        for job in [running, behind, ready] { lines.append(job) }
        #expect(lines.next() === running)
        #expect(lines.drain(running.ticket).map(ObjectIdentifier.init) == [ObjectIdentifier(behind)])
        #expect(lines.drain(ready.ticket).map(ObjectIdentifier.init) == [ObjectIdentifier(ready)])
        #expect(lines.isEmpty)
        lines.append(job(2))
        lines.append(job(1))
        lines.finished(running)
        #expect(lines.drain(1).count == 2 && lines.isEmpty)
        lines.append(job(1))
        #expect(lines.next() != nil, "the key is free again")
    }

    /// Helpers that are left over count as if they were this daemon's.
    @Test func leftoversCount() {
        var lines = HelperLines(working: 4, stuckOfUser: 2)
        lines.chargeStuck(of: 1)
        lines.chargeStuck(of: 1)
        lines.append(job(1))
        #expect(lines.next() == nil && lines.stuck(of: 1) == 2 && lines.stuck(of: 2) == 0)
        lines.releaseStuck(of: 1)
        #expect(lines.next() != nil)
    }
}
