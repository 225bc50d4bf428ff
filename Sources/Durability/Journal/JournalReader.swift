import IOMMU

/// Why a journal cannot be used.
package struct JournalDamage: Error, Sendable, Equatable {
    /// What is wrong.
    package enum Kind: Sendable, Equatable {
        /// Bytes are not as they were written.
        case corrupt
        /// A later program has written it.
        case newer(version: UInt32)
    }

    /// What is wrong.
    package var kind: Kind
    /// The byte where what is wrong begins.
    package var offset: Int

    /// In a sentence about the journal.
    package var text: String {
        switch kind {
        case .corrupt: "is damaged at byte \(offset)"
        case .newer(let version): "was written by a later version of the daemon: its format is \(version)"
        }
    }
}

/// Reads a journal from its beginning to its end.
///
/// A record whose end is not there was being written when the daemon ended: nobody has been told of it, and it is left
/// out. Anything else that is not as it was written is damage.
package struct JournalReader {
    private let bytes: [UInt8]
    /// What it begins with.
    package let head: JournalHead
    /// The version of its format.
    package let version: UInt32
    /// Where the next record begins; in the end, where the journal ends.
    package private(set) var place: Int

    /// - Throws: ``JournalDamage``.
    package init(_ bytes: [UInt8]) throws(JournalDamage) {
        self.bytes = bytes
        guard bytes.starts(with: JournalHead.magic) else { throw JournalDamage(kind: .corrupt, offset: 0) }
        let start = JournalHead.magic.count
        guard let body = try Self.body(of: bytes, at: start) else { throw JournalDamage(kind: .corrupt, offset: start) }
        let found: (version: UInt32, head: JournalHead?)
        do throws(RecordReader.Nonsense) {
            found = try bytes.withRecord(body) { reader throws(RecordReader.Nonsense) in try Self.head(&reader) }
        } catch {
            throw JournalDamage(kind: .corrupt, offset: start)
        }
        guard let head = found.head else { throw JournalDamage(kind: .newer(version: found.version), offset: start) }
        (self.head, version, place) = (head, found.version, body.upperBound)
    }

    /// No head: of a version that nobody here knows.
    private static func head(
        _ reader: inout RecordReader
    ) throws(RecordReader.Nonsense) -> (version: UInt32, head: JournalHead?) {
        let version = try reader.word()
        guard (JournalHead.oldest...JournalHead.version).contains(version) else { return (version, nil) }
        let (generation, starts, boot) = (try reader.number(), try reader.word(), try reader.text())
        let backend = version == JournalHead.oldest ? "emulated" : try reader.text()
        return (version, JournalHead(generation: generation, starts: starts, backend: backend, boot: boot))
    }

    /// The next record; nil at the end.
    package mutating func next() throws(JournalDamage) -> Record? {
        guard let body = try Self.body(of: bytes, at: place) else { return nil }
        do throws(RecordReader.Nonsense) {
            let record = try bytes.withUnsafeBytesThrowing { all throws(RecordReader.Nonsense) in
                try Record(UnsafeRawBufferPointer(rebasing: all[body]))
            }
            place = body.upperBound
            return record
        } catch {
            throw JournalDamage(kind: .corrupt, offset: place)
        }
    }

    /// Where a record says something; nil if not all of it is there.
    private static func body(of bytes: [UInt8], at place: Int) throws(JournalDamage) -> Range<Int>? {
        guard bytes.count - place >= RecordBuffer.headBytes else { return nil }
        let found = bytes.withUnsafeBytes { all -> (length: Int, sum: UInt32, isHeadGood: Bool) in
            func word(_ index: Int) -> UInt32 {
                all.loadUnaligned(fromByteOffset: place + index, as: UInt32.self).littleEndian
            }
            let check = CRC32C.sum(UnsafeRawBufferPointer(rebasing: all[place..<place + 8]))
            return (Int(word(0)), word(4), check == word(8))
        }
        guard found.isHeadGood else { throw JournalDamage(kind: .corrupt, offset: place) }
        let start = place + RecordBuffer.headBytes
        guard found.length <= bytes.count - start else { return nil }
        let sum = bytes.withUnsafeBytes {
            CRC32C.sum(UnsafeRawBufferPointer(rebasing: $0[start..<start + found.length]))
        }
        guard sum == found.sum else { throw JournalDamage(kind: .corrupt, offset: place) }
        return start..<start + found.length
    }
}

extension [UInt8] {
    fileprivate func withUnsafeBytesThrowing<Value>(
        _ body: (UnsafeRawBufferPointer) throws(RecordReader.Nonsense) -> Value
    ) throws(RecordReader.Nonsense) -> Value {
        let result: Result<Value, RecordReader.Nonsense> = withUnsafeBytes { bytes in
            do throws(RecordReader.Nonsense) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    fileprivate func withRecord<Value>(
        _ range: Range<Int>, _ body: (inout RecordReader) throws(RecordReader.Nonsense) -> Value
    ) throws(RecordReader.Nonsense) -> Value {
        try withUnsafeBytesThrowing { bytes throws(RecordReader.Nonsense) in
            var reader = RecordReader(UnsafeRawBufferPointer(rebasing: bytes[range]))
            return try body(&reader)
        }
    }
}
