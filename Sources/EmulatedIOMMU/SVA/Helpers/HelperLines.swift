import DequeModule

/// Jobs that wait for a helper, and the order in which they get one: those with one key one after the other, users in
/// turn, and never so many of one user that others would have to wait for what does not come.
struct HelperLines {
    private struct User {
        var ready = Deque<HelperJob>()
        /// Jobs at work.
        var running = 0
        /// Helpers that do not answer.
        var stuck = 0

        var isIdle: Bool { ready.isEmpty && running == 0 && stuck == 0 }
    }

    /// Helpers at work for one user.
    private let share: Int
    /// Helpers of one user that do not answer, and those at work, which may come to that.
    let stuckOfUser: Int
    private var users: [UInt32: User] = [:]
    /// Users with jobs that could begin; whose turn it is first.
    private var turns = Deque<UInt32>()
    /// Keys with a job in line or at work, and what waits behind it.
    private var behind: [UInt64: Deque<HelperJob>] = [:]
    private(set) var stuckKeys: Set<UInt64> = []

    /// - Parameter working: helpers at work at one time.
    init(working: Int, stuckOfUser: Int) {
        share = max(1, (working + 1) / 2)
        self.stuckOfUser = stuckOfUser
    }

    func stuck(of uid: UInt32) -> Int { users[uid]?.stuck ?? 0 }

    // MARK: In line

    mutating func append(_ job: HelperJob) {
        guard behind[job.ticket.key] == nil else {
            behind[job.ticket.key]?.append(job)
            return
        }
        behind[job.ticket.key] = []
        makeReady(job)
    }

    private mutating func makeReady(_ job: HelperJob) {
        let uid = job.ticket.uid
        users[uid, default: User()].ready.append(job)
        if users[uid]?.ready.count == 1 { turns.append(uid) }
    }

    /// The next to be given a helper, which counts as at work from now on; nil if there is none that may have one.
    mutating func next() -> HelperJob? {
        for _ in 0..<turns.count {
            let uid = turns.removeFirst()
            guard var user = users[uid] else { continue }
            guard user.running < share, user.running + user.stuck < stuckOfUser, let job = user.ready.popFirst() else {
                turns.append(uid)
                continue
            }
            user.running += 1
            users[uid] = user
            if !user.ready.isEmpty { turns.append(uid) }
            return job
        }
        return nil
    }

    // MARK: At work

    /// A job is through; what waited behind it can begin.
    mutating func finished(_ job: HelperJob) {
        users[job.ticket.uid]?.running -= 1
        release(job)
    }

    /// A job does not get on.
    ///
    /// - Returns: what waited behind it: it is not going to be done.
    mutating func stuck(_ job: HelperJob) -> [HelperJob] {
        let (key, uid) = (job.ticket.key, job.ticket.uid)
        users[uid]?.running -= 1
        users[uid]?.stuck += 1
        stuckKeys.insert(key)
        let waiting = Array(behind[key] ?? [])
        behind[key] = []
        return waiting
    }

    /// A job that did not get on is through, or has been given up.
    mutating func unstuck(_ job: HelperJob) {
        stuckKeys.remove(job.ticket.key)
        release(job)
    }

    /// A helper that did not answer has done so, or has ended.
    mutating func releaseStuck(of uid: UInt32) {
        users[uid]?.stuck -= 1
        forgetIfIdle(uid)
    }

    /// A helper that was left over by an earlier daemon.
    mutating func chargeStuck(of uid: UInt32) { users[uid, default: User()].stuck += 1 }

    private mutating func release(_ job: HelperJob) {
        let key = job.ticket.key
        if let next = behind[key]?.popFirst() { makeReady(next) } else { behind[key] = nil }
        forgetIfIdle(job.ticket.uid)
    }

    private mutating func forgetIfIdle(_ uid: UInt32) {
        if users[uid]?.isIdle == true { users[uid] = nil }
    }

    // MARK: Giving up

    /// Takes all that a user's jobs wait with, also behind others that wait.
    mutating func drain(_ uid: UInt32) -> [HelperJob] {
        let ready = Array(users[uid]?.ready ?? [])
        users[uid]?.ready = []
        turns.removeAll { $0 == uid }
        return ready.flatMap { [$0] + (behind.removeValue(forKey: $0.ticket.key) ?? []) }
    }

    /// Takes all that waits.
    mutating func drain() -> [HelperJob] { turns.flatMap { drain($0) } }

    /// Takes what waits with a key, in line or behind another.
    mutating func drain(_ ticket: ForeignTicket) -> [HelperJob] {
        let waiting = Array(behind[ticket.key] ?? [])
        let ready = users[ticket.uid]?.ready.filter { $0.ticket.key == ticket.key } ?? []
        if behind[ticket.key] != nil { behind[ticket.key] = ready.isEmpty ? [] : nil }
        guard !ready.isEmpty else { return waiting }
        users[ticket.uid]?.ready.removeAll { $0.ticket.key == ticket.key }
        if users[ticket.uid]?.ready.isEmpty == true { turns.removeAll { $0 == ticket.uid } }
        forgetIfIdle(ticket.uid)
        return ready + waiting
    }

    /// Whether anything waits.
    var isEmpty: Bool { turns.isEmpty }
}
