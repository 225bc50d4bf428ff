import Testing

@testable import IOMMUService

@Suite struct RepetitionLimitTests {
    /// Ends a period when a test says so.
    private final class Clock {
        var due: [() -> Void] = []
        var reports: [(subject: RepetitionLimit.Subject?, count: UInt64)] = []

        func endPeriod() {
            let bodies = due
            due = []
            for body in bodies { body() }
        }
    }

    private let clock = Clock()
    private let limit: RepetitionLimit
    private let subject = RepetitionLimit.Subject(user: 1000, method: "device.bind", reason: "not_allowed")

    init() {
        limit = RepetitionLimit { [clock] _, body in
            clock.due.append(body)
        } report: { [clock] subject, count in
            clock.reports.append((subject, count))
        }
    }

    @Test func writesAFewAndSaysHowManyMoreThereWere() {
        let written = (0..<100).count { _ in limit.admits(subject) }
        #expect(written == RepetitionLimit.entries)
        let other = RepetitionLimit.Subject(user: 1001, method: subject.method, reason: subject.reason)
        #expect(limit.admits(other))
        clock.endPeriod()
        #expect(clock.reports.map(\.count) == [95])
        #expect(clock.reports.first?.subject == subject)
        #expect(limit.admits(subject))
        clock.endPeriod()
        #expect(clock.reports.count == 1)
    }

    @Test func holdsABoundedNumberOfSubjects() {
        for user in 0..<UInt32(RepetitionLimit.subjects) {
            #expect(limit.admits(.init(user: user, method: "m", reason: "r")))
        }
        #expect(!limit.admits(subject))
        clock.endPeriod()
        #expect(clock.reports.map(\.count) == [1])
        #expect(clock.reports.first.map { $0.subject == nil } == true)
        #expect(clock.due.isEmpty)
    }
}
