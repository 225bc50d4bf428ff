import DequeModule
import IOMMU
import JSONRPC
import LinuxIO

/// One bare SMMU of one session.
struct BareSMMUSubject: Hashable {
    let context: ContextID
    let vsmmu: ObjectID
}

/// What one call does with a bare SMMU, and what its client has to be told of it before the reply.
final class BareSMMUWork {
    enum Kind {
        /// One after the other for each SMMU. It goes on where the connection ends: the guest's command queue does not
        /// know of it.
        case writing
        /// Nothing more is translated once the connection has ended.
        case translating
    }

    enum Progress {
        case done
        /// In another turn.
        case more
        /// The client has to read first.
        case waits
    }

    /// Returns whether that was all.
    typealias Step = (any BareSMMUs, inout TurnBudget) throws(IOMMUError) -> Bool

    let subject: BareSMMUSubject
    private let kind: Kind
    private weak var smmus: (any BareSMMUs)?
    private weak var client: Client?
    private weak var connection: Connection?
    private unowned let service: Service
    private let step: Step
    private var untold = Deque<BareSMMUNotice>()
    private var isComplete = false
    private var isAbandoned = false
    /// The client has to read what it was told before anything else happens.
    private var isUnsent = false
    /// It ended with this.
    private(set) var failure: (any Error)?
    /// Goes on when the client has read.
    var wakeUp: (() -> Void)?

    /// What a call does before its first turn is over.
    static let nanosecondsAtOnce: UInt64 = 500_000
    /// Writing an event counts for so many steps.
    private static let unitsOfNotice = 4

    init(
        _ kind: Kind, _ subject: BareSMMUSubject, _ smmus: any BareSMMUs, _ client: Client, _ connection: Connection,
        service: Service, step: @escaping Step
    ) {
        (self.kind, self.subject, self.smmus) = (kind, subject, smmus)
        (self.client, self.connection, self.service) = (client, connection, service)
        self.step = step
    }

    var user: UInt32 { client?.peer.identity.uid ?? .max }

    /// The first step. - Throws: what refuses the call, when nothing has been told yet.
    func begin(_ budget: inout TurnBudget) throws(IOMMUError) {
        guard let smmus else { throw IOMMUError.sessionClosed }
        isComplete = try step(smmus, &budget)
        takeNotices(smmus)
    }

    /// Tells what is untold, then does the next step, and so on.
    func goOn(_ budget: inout TurnBudget) -> Progress {
        while true {
            let telling = tellAll(&budget)
            guard telling == .done else { return telling }
            guard isAcknowledged else { return .waits }
            if isComplete || failure != nil || isAbandoned && kind == .translating { return .done }
            do throws(IOMMUError) {
                try begin(&budget)
            } catch {
                failure = error
            }
            if budget.isSpent(after: 0) { return .more }
        }
    }

    /// The connection has ended: nobody is told any more, but whoever comes next that something was lost.
    func abandon() {
        isAbandoned = true
        isUnsent = false
        loseAll()
        wakeUp?()
    }

    private func takeNotices(_ smmus: any BareSMMUs) {
        guard smmus.hasNotices else { return }
        untold.append(contentsOf: smmus.takeNotices(of: subject.vsmmu))
        if isAbandoned { loseAll() }
    }

    private func loseAll() {
        let count = untold.reduce(UInt64(0)) { sum, notice in
            if case .lost(let earlier) = notice { return sum + earlier }
            return sum + 1
        }
        untold = []
        if count > 0 { smmus?.loseNotices(of: subject.vsmmu, count) }
    }

    /// Who has a ring has acknowledged there what is told there.
    private var isAcknowledged: Bool {
        guard kind == .writing, let smmus else { return true }
        return smmus.isAcknowledged(subject.vsmmu) { [weak self] in self?.wakeUp?() }
    }

    /// Done: all that is to be told has been, and is on its way.
    private func tellAll(_ budget: inout TurnBudget) -> Progress {
        guard !isUnsent else { return .waits }
        guard !untold.isEmpty else { return .done }
        guard let client, let connection, !connection.isEnded else {
            loseAll()
            return .done
        }
        while let notice = untold.first, service.tell(notice, of: subject, to: client, on: connection) {
            untold.removeFirst()
            if budget.isSpent(after: Self.unitsOfNotice) { break }
        }
        isUnsent = !connection.sendNow { [weak self] in self?.wasSent() }
        // What there is no room for yet comes when all before has been read.
        return isUnsent ? .waits : untold.isEmpty ? .done : .more
    }

    private func wasSent() {
        isUnsent = false
        wakeUp?()
    }
}

/// Calls on one bare SMMU that are carried out one after the other.
final class BareSMMULine {
    /// A call that waits for its answer, and how that is written.
    struct Entry {
        let call: ParkedCall
        let answer: LateReply
    }

    private let loop: any LoopServices
    private var waiting = Deque<(work: BareSMMUWork, entry: Entry)>()
    private let onEnd: () -> Void

    /// - Parameter onEnd: the last call has been answered.
    init(_ loop: any LoopServices, onEnd: @escaping () -> Void) { (self.loop, self.onEnd) = (loop, onEnd) }

    /// Carries it out once those before have been answered.
    func append(_ work: BareSMMUWork, _ entry: Entry) {
        waiting.append((work, entry))
        if waiting.count == 1 { goOn() }
    }

    private func goOn() {
        guard let (work, entry) = waiting.first else { return onEnd() }
        loop.inPieces(for: work.user) { [self] budget in
            switch work.goOn(&budget) {
            case .more: return false
            case .waits:
                work.wakeUp = { [self] in
                    work.wakeUp = nil
                    goOn()
                }
                return true
            case .done:
                if let error = work.failure { entry.call.fail(error) } else { entry.answer.later(entry.call) }
                waiting.removeFirst()
                goOn()
                return true
            }
        }
    }
}
