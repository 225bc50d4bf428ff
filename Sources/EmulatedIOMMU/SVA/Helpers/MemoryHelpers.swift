import CLinux
import IOMMU
import LinuxIO

/// Memory of other processes by processes of the daemon's own, which wait in its place and can be left behind.
///
/// A few work at one time; one that does not get on is out of the count, and another takes its place. Those that do not
/// answer are counted against the user whose address space it is, until they have ended.
package final class MemoryHelpers {
    /// How many there may be, and how patient the daemon is.
    package struct Limits: Sendable {
        /// Helpers at work at one time; half of them for one user.
        package var working = 4
        /// Helpers of one user that do not answer.
        package var stuckOfUser = 4
        /// Helpers that do not answer, of all users.
        package var stuck = 64
        /// Nanoseconds without progress after which one does not answer.
        package var patience: UInt64 = 1_000_000_000

        /// The defaults.
        package init() {}
    }

    private let services: any LoopServices
    private let program: String
    private let instance: String
    private let limits: Limits
    var lines: HelperLines
    private var idle: [HelperProcess] = []
    private var working: [ObjectIdentifier: HelperProcess] = [:]
    /// Those that do not answer, and the user they count for.
    private var stuck: [ObjectIdentifier: (helper: HelperProcess, uid: UInt32)] = [:]
    /// Those that are ending and count for nobody.
    private var ending: [ObjectIdentifier: HelperProcess] = [:]
    /// Helpers of daemons that have been killed.
    private var leftovers: [Int32: LeftoverHelper] = [:]
    private var clock: LoopTimer?

    /// Finds what earlier daemons have left behind, and starts nothing yet.
    ///
    /// - Parameters:
    ///   - services: the loop that everything here is called on.
    ///   - instance: tells this daemon, and those that took its place before, from others on the machine.
    ///   - program: a file that becomes a helper with ``MemoryHelper/argument``; the running program by default.
    package init(
        services: any LoopServices, instance: String, limits: Limits = Limits(), program: String = "/proc/self/exe"
    ) {
        self.services = services
        self.instance = instance
        self.program = program
        self.limits = limits
        lines = HelperLines(working: limits.working, stuckOfUser: limits.stuckOfUser)
        for leftover in LeftoverHelper.all(of: instance) { keep(leftover) }
    }

    /// Helpers that do not answer, also of earlier daemons.
    package var stuckCount: Int { stuck.count + leftovers.count }

    // MARK: Jobs

    /// Has a helper do it, now or when one is free.
    func submit(_ job: HelperJob) {
        if let refusal = refusal(for: job.ticket) {
            return services.later { job.finish(.refused(refusal)) }
        }
        job.onCancel = { [weak self, weak job] in
            guard let self, let job else { return }
            cancelled(job)
        }
        lines.append(job)
        dispatch()
    }

    private func dispatch() {
        while working.count < limits.working, !lines.isEmpty {
            // Without a helper a job keeps its place in line.
            guard let helper = takeHelper() else { return }
            guard let job = lines.next() else { return idle.append(helper) }
            begin(job, helper)
        }
        setClock()
    }

    private func begin(_ job: HelperJob, _ helper: HelperProcess) {
        guard !job.isCancelled else {
            idle.append(helper)
            return finish(job, .refused(.nobodyWaits))
        }
        do throws(SystemError) {
            try helper.begin(job)
            working[ObjectIdentifier(helper)] = helper
        } catch {
            discard(helper)
            finish(job, .refused(.helperLost))
        }
    }

    /// What is done, or is not going to be; others can begin. Whoever hears of it may ask for more at once.
    private func finish(_ job: HelperJob, _ outcome: HelperJob.Outcome) {
        lines.finished(job)
        refuseBeyondQuota(of: job.ticket.uid)
        services.later { [weak self] in self?.dispatch() }
        job.finish(outcome)
    }

    /// A helper that is not at work; a new one if there is none.
    private func takeHelper() -> HelperProcess? {
        if let helper = idle.popLast() { return helper }
        guard stuckCount < limits.stuck else {
            if working.isEmpty { refuse(lines.drain(), .noHelper) }
            return nil
        }
        do throws(SystemError) {
            let helper = try HelperProcess(program, of: instance)
            try helper.watch(by: services) { [weak self, unowned helper] news in
                self?.hear(news, of: helper)
            } ended: { [weak self, unowned helper] in
                self?.ended(helper)
            }
            return helper
        } catch {
            // Those that work will be free.
            if working.isEmpty {
                refuse(lines.drain(), error.isLackOfDescriptors ? IOMMUError.noDescriptors : .noHelper)
            }
            return nil
        }
    }

    // MARK: Helpers

    private func hear(_ news: HelperProcess.News, of helper: HelperProcess) {
        let key = ObjectIdentifier(helper)
        guard case .done(let outcome) = news, let job = helper.takeJob() else {
            // Its end is yet to come, or it has to be brought about.
            helper.kill()
            return ended(helper, isReaped: false)
        }
        let wasWorking = working.removeValue(forKey: key) != nil
        if let (_, uid) = stuck.removeValue(forKey: key) {
            lines.unstuck(job)
            lines.releaseStuck(of: uid)
        }
        if working.count + idle.count < limits.working { idle.append(helper) } else { discard(helper) }
        guard wasWorking else {
            services.later { [weak self] in self?.dispatch() }
            return job.finish(outcome)
        }
        finish(job, outcome)
    }

    private func discard(_ helper: HelperProcess) {
        helper.kill()
        ending[ObjectIdentifier(helper)] = helper
    }

    /// A helper has ended, or is about to: what it was at is lost.
    private func ended(_ helper: HelperProcess, isReaped: Bool = true) {
        let key = ObjectIdentifier(helper)
        let job = helper.takeJob()
        idle.removeAll { $0 === helper }
        let wasWorking = working.removeValue(forKey: key) != nil
        if let (_, uid) = stuck[key], isReaped {
            stuck[key] = nil
            lines.releaseStuck(of: uid)
        }
        ending[key] = isReaped || stuck[key] != nil ? nil : helper
        if let job, wasWorking {
            finish(job, .refused(.helperLost))
        } else if let job {
            lines.unstuck(job)
            job.finish(.refused(.helperLost))
        }
        services.later { [weak self] in self?.dispatch() }
    }

    // MARK: Not answering

    /// Looks from time to time, while somebody is at work, whether all get on.
    private func setClock() {
        guard !working.isEmpty else { return }
        if clock == nil {
            clock = try? LoopTimer(services, every: limits.patience / 4) { [weak self] in self?.look() ?? false }
        }
        clock?.start()
    }

    /// - Returns: whether somebody is at work.
    private func look() -> Bool {
        guard !working.isEmpty else { return false }
        let time = MonotonicClock.nanoseconds
        for helper in working.values {
            // One that has not begun may have to wait for the machine.
            let patience = helper.hasStarted ? limits.patience : 10 &* limits.patience
            if helper.silence(at: time) >= patience { leave(helper) }
        }
        dispatch()
        return !working.isEmpty
    }

    /// It may go on, but nobody waits for it any more except who asked.
    private func leave(_ helper: HelperProcess) {
        guard let job = helper.job else { return }
        let key = ObjectIdentifier(helper)
        working[key] = nil
        stuck[key] = (helper, job.ticket.uid)
        let waiting = lines.stuck(job)
        if job.isCancelled { abandon(helper) }
        refuse(waiting, .stuck)
        refuseBeyondQuota(of: job.ticket.uid)
    }

    /// Nobody waits for it at all.
    private func abandon(_ helper: HelperProcess) {
        helper.kill()
        guard let job = helper.takeJob() else { return }
        lines.unstuck(job)
        services.later { job.finish(.refused(.nobodyWaits)) }
    }

    private func cancelled(_ job: HelperJob) {
        working.values.first { $0.job === job }?.cancel()
        if let helper = stuck.values.first(where: { $0.helper.job === job })?.helper { abandon(helper) }
    }

    /// Nobody knows the address space any more.
    package func forget(_ ticket: ForeignTicket) {
        let waiting = lines.drain(ticket)
        for helper in Array(working.values) + stuck.values.map(\.helper) where helper.job?.ticket == ticket {
            helper.job?.cancel()
        }
        refuse(waiting, .nobodyWaits)
    }

    private func keep(_ leftover: LeftoverHelper) {
        let number = leftover.number
        let isWatched = leftover.watch(by: services) { [weak self] in
            guard let self, let gone = leftovers.removeValue(forKey: number) else { return }
            lines.releaseStuck(of: gone.uid)
        }
        guard isWatched else { return }
        leftovers[number] = leftover
        lines.chargeStuck(of: leftover.uid)
    }

    // MARK: Refusing

    /// Why nothing can be asked: `EBUSY` for an address space that does not answer, `EDQUOT` for a user with too many.
    package func refusal(for ticket: ForeignTicket) -> IOMMUError? {
        if lines.stuckKeys.contains(ticket.key) { return .stuck }
        let stuck = lines.stuck(of: ticket.uid)
        return stuck >= limits.stuckOfUser ? .tooManyStuck(stuck, of: ticket.uid, limit: limits.stuckOfUser) : nil
    }

    private func refuseBeyondQuota(of uid: UInt32) {
        let stuck = lines.stuck(of: uid)
        guard stuck >= limits.stuckOfUser else { return }
        refuse(lines.drain(uid), .tooManyStuck(stuck, of: uid, limit: limits.stuckOfUser))
    }

    /// Whoever hears of it may ask for more: that is for later.
    private func refuse(_ jobs: [HelperJob], _ error: IOMMUError) {
        for job in jobs { services.later { job.finish(.refused(error)) } }
    }
}
