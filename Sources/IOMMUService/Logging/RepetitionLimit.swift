import LinuxIO

/// Keeps who does the same thing again and again from filling the log: a few entries a while, and then how many were
/// left out.
package final class RepetitionLimit {
    /// What makes entries the same.
    package struct Subject: Hashable {
        package let user: UInt32
        package let method: String
        package let reason: String

        package init(user: UInt32, method: String, reason: String) {
            self.user = user
            self.method = method
            self.reason = reason
        }
    }

    private struct Period {
        var written = 0
        var leftOut: UInt64 = 0
    }

    /// Entries of a subject in each period.
    static let entries = 5
    /// Nanoseconds.
    static let period: UInt64 = 10_000_000_000
    /// Subjects in one period; what others do beyond them is counted together.
    static let subjects = 1024

    private let schedule: (_ nanoseconds: UInt64, _ body: @escaping () -> Void) -> Void
    private let report: (_ subject: Subject?, _ leftOut: UInt64) -> Void
    private var periods: [Subject: Period] = [:]
    private var others: UInt64 = 0
    private var isScheduled = false

    /// - Parameters:
    ///   - schedule: calls later.
    ///   - report: told at the end of a period how many entries were left out, for each subject; `nil`: of others.
    package init(
        schedule: @escaping (_ nanoseconds: UInt64, _ body: @escaping () -> Void) -> Void,
        report: @escaping (_ subject: Subject?, _ leftOut: UInt64) -> Void
    ) {
        self.schedule = schedule
        self.report = report
    }

    /// Whether an entry is to be written now; otherwise it is counted.
    package func admits(_ subject: Subject) -> Bool {
        if !isScheduled {
            isScheduled = true
            schedule(Self.period) { [weak self] in self?.endPeriod() }
        }
        guard periods[subject] != nil || periods.count < Self.subjects else {
            others += 1
            return false
        }
        var period = periods[subject] ?? Period()
        defer { periods[subject] = period }
        guard period.written < Self.entries else {
            period.leftOut += 1
            return false
        }
        period.written += 1
        return true
    }

    private func endPeriod() {
        isScheduled = false
        let ended = periods
        periods = [:]
        for (subject, period) in ended where period.leftOut > 0 { report(subject, period.leftOut) }
        if others > 0 { report(nil, others) }
        others = 0
    }
}
