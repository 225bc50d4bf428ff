import Glibc
import IOMMU
import LinuxIO
import Systemd

/// How descriptors get into the store, and out of it, without waiting for the service manager.
extension StoredFiles {
    /// The journal has been written: what it does not name any more may go.
    package func sendRemovals() {
        guard !removals.isEmpty else { return }
        guard keepsFiles else { return removals.removeAll() }
        for name in removals { outgoing.append(("FDSTOREREMOVE=1\nFDNAME=\(name)", nil)) }
        removals.removeAll()
        if afterRemovals.isEmpty { goOn() } else { tellOfRemovals() }
    }

    /// What waits for removals goes on when all that has been sent has been taken.
    func tellOfRemovals() {
        let bodies = afterRemovals
        afterRemovals = []
        let told = Deferred<UInt64>()
        // Whoever does not answer is not waited for.
        told.whenSettled { _ in for body in bodies { body() } }
        unasked.append(told)
        loop.later { [weak self] in self?.goOn() }
    }

    func goOn() {
        while let next = outgoing.first {
            do throws(SystemError) {
                try manager.sendAtOnce(next.text, descriptors: next.file.map { [$0.number] } ?? [])
            } catch {
                guard error.errno == EAGAIN else { return fail(error) }
                return retry()
            }
            outgoing.removeFirst()
        }
        ask()
    }

    private func retry() {
        guard !isRetrying else { return }
        isRetrying = true
        loop.schedule(after: Self.retryNanoseconds) { [weak self] in
            self?.isRetrying = false
            self?.goOn()
        }
    }

    /// Asks to be told when everything so far has been stored.
    private func ask() {
        guard barrier == nil, !unasked.isEmpty else { return }
        do throws(SystemError) {
            guard let told = try manager.beginBarrier() else { return fail(SystemError(errno: ENOENT, "notify")) }
            let watch = try loop.watch(told) { [weak self] in self?.heard() }
            let deadline = loop.schedule(after: Self.patience) { [weak self] in
                self?.fail(SystemError(errno: ETIMEDOUT, "wait for the service manager"))
            }
            barrier = (SharedDescriptor(told), watch, deadline)
            (asked, unasked) = (unasked, [])
        } catch {
            guard error.errno == EAGAIN else { return fail(error) }
            retry()
        }
    }

    private func heard() {
        let done = asked
        asked = []
        endBarrier()
        for stored in done { settle(stored, nil) }
        goOn()
    }

    private func endBarrier() {
        guard let barrier else { return }
        barrier.watch.end()
        loop.cancel(barrier.deadline)
        self.barrier = nil
    }

    private func settle(_ stored: Deferred<UInt64>, _ error: IOMMUError?) {
        let number = numbers.removeValue(forKey: ObjectIdentifier(stored)) ?? 0
        stored.settle(error.map { .failure($0) } ?? .success(number))
    }

    /// Nobody knows what is stored of what was sent: none of it counts.
    func fail(_ error: SystemError) {
        let failed = asked + unasked
        (asked, unasked) = ([], [])
        endBarrier()
        outgoing.removeAll()
        let refusal = IOMMUError(
            .EIO, .descriptorNotStored, "the service manager does not take descriptors: \(error)",
            hint: "try again later, or go on in a private session, which does not outlive the daemon")
        for stored in failed { settle(stored, refusal) }
    }
}
