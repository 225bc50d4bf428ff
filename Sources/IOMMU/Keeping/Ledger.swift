/// What is given out while a change is made: ids of the context, and tags and addresses that all contexts share.
///
/// A change that is recorded is written down with what it was given; one that is made again is given the same, whatever
/// would be chosen. Where neither is done there is no page, and a look at the ledger costs next to nothing.
package final class Ledger {
    /// What can be given.
    package enum Kind: UInt8, Sendable, CaseIterable {
        /// An id of the iommufd id space.
        case object = 1
        case memory, mm, bond, queue
        case asid, vmid, pasid
        /// The ASID by which the CPUs know an address space.
        case cpuASID
        /// The first physical address of a memory object.
        case window
        /// The ASID that a table moved to, since the CPUs have its own for an address space.
        case movedASID
        /// The number of a group of devices.
        case group
        /// The number by which somebody who keeps a descriptor finds it again.
        case file
        /// What a device has in the kernel besides its own object.
        case part
    }

    /// One thing that was given.
    package struct Entry: Sendable, Equatable {
        /// What it is.
        package var kind: Kind
        /// Which one.
        package var value: UInt64

        /// With these properties.
        package init(_ kind: Kind, _ value: UInt64) { (self.kind, self.value) = (kind, value) }
    }

    /// What one change is given.
    package final class Page {
        /// In the order in which it was given.
        package fileprivate(set) var entries: [Entry] = []
        /// What it is to be given.
        fileprivate var wanted: ArraySlice<Entry>
        /// Something that it is to be given belongs to somebody else.
        package fileprivate(set) var isRefused = false

        /// - Parameter wanted: what it is to be given; nothing: whatever is chosen.
        package init(wanted: [Entry] = []) { self.wanted = wanted[...] }

        /// Something more has been given.
        package func add(_ entry: Entry) { entries.append(entry) }
    }

    /// Of the change in hand; nil: nobody writes it down.
    package private(set) var page: Page?
    /// What was there is made again: it lives, whatever may be known of it.
    package var isRestoring = false
    /// Told of a table that moves to another ASID while no change is in hand.
    package var onMove: ((_ smmu: String, _ from: UInt16, _ to: UInt16) -> Void)?

    /// Without a page.
    package init() {}

    /// Carries out a part of a change.
    package func within<Value>(
        _ page: Page?, _ body: () throws(IOMMUError) -> Value
    ) throws(IOMMUError) -> Value {
        let outer = exchange(page)
        defer { self.page = outer }
        return try body()
    }

    /// Another change is in hand. - Returns: the one before.
    package func exchange(_ page: Page?) -> Page? {
        defer { self.page = page }
        return self.page
    }

    /// What is to be given; nil: whatever is chosen.
    package func next(_ kind: Kind) -> UInt64? {
        guard let page, let index = page.wanted.firstIndex(where: { $0.kind == kind }) else { return nil }
        return page.wanted.remove(at: index).value
    }

    /// What is to be given and nothing has chosen yet, of one kind.
    package func all(_ kind: Kind) -> [UInt64] {
        guard let page else { return [] }
        defer { page.wanted.removeAll { $0.kind == kind } }
        return page.wanted.filter { $0.kind == kind }.map(\.value)
    }

    /// Something has been given.
    package func note(_ kind: Kind, _ value: UInt64) { page?.entries.append(Entry(kind, value)) }

    /// Something that was there already is used once more: it is written down as if it were given.
    package func share(_ kind: Kind, _ value: UInt64) {
        guard page != nil else { return }
        if let wanted = next(kind), wanted != value { refuse() }
        note(kind, value)
    }

    /// What is to be given is somebody else's.
    package func refuse() { page?.isRefused = true }
}

extension IOMMUError {
    /// `EIO`: what was there before a restart cannot be had again.
    package static func taken(_ kind: String, _ value: UInt64) -> IOMMUError {
        IOMMUError(
            .EIO, .stateLost, "\(kind) \(value) belongs to something else now",
            hint: "close what is left of the session, and make it anew")
    }
}
