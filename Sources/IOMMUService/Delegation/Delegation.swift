import Glibc
import IOMMU
import LinuxIO

/// Who drives the iommufd that a session has handed out. Nothing can take it back from a process, so the session ends
/// with that process and not before.
package final class Delegation {
    /// The process that was given it. What it passes on to others is not seen.
    package let process: OtherProcess
    /// The name of its program, as it was then.
    package let program: String
    private let account: Account
    private var watch: DescriptorWatch?
    private var onEnd: [() -> Void] = []
    private var isOver = false

    /// Charges the user for the descriptor by which the process is watched.
    ///
    /// - Parameter ended: called once, when the process has ended; ends the session.
    init(
        _ process: OtherProcess, of account: Account, on services: any LoopServices,
        ended: @escaping () -> Answer<Void>
    ) throws(IOMMUError) {
        self.process = process
        self.account = account
        program = process.program ?? "unknown program"
        try account.charge(1, of: .descriptors)
        do throws(SystemError) {
            watch = try process.watch(by: services) { [unowned self] in end(ended) }
        } catch {
            account.release(1, of: .descriptors)
            throw .noDescriptors
        }
    }

    deinit { if !isOver { account.release(1, of: .descriptors) } }

    private func end(_ ended: () -> Answer<Void>) {
        guard !isOver else { return }
        isOver = true
        watch?.end()
        account.release(1, of: .descriptors)
        let waiting = onEnd
        onEnd = []
        switch ended() {
        case .now: for body in waiting { body() }
        case .later(let closing): closing.whenSettled { _ in for body in waiting { body() } }
        }
    }

    /// Calls `body` when the process has ended and its session with it.
    func whenEnded(_ body: @escaping () -> Void) { onEnd.append(body) }

    /// How others are told who it is.
    var holder: String { "process \(process.pid) (\(program))" }

    /// `EBUSY`: the session is not the caller's to change.
    func refusal(of session: Session) -> IOMMUError {
        IOMMUError(
            .EBUSY, .delegated, "\(holder) drives what session \(session.label) has handed out",
            hint: "end that process, and the session ends with it; an administrator can have that done with force",
            [
                "session": .text(session.label), "pid": .number(UInt64(max(0, process.pid))),
                "program": .text(program),
            ])
    }
}
