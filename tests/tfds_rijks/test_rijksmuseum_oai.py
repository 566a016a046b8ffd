"""The XML reader: the traps of real records, and input that must be refused."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfds_rijks.rijksmuseum import oai
from tfds_rijks.rijksmuseum.synthetic.records import Work, oai_dc

SHARED = Path(__file__).parents[2] / '../shared'
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
WORK = Work(
  stem='0000004_RP-P-1992-35',
  number='RP-P-1992-35',
  title='Wapen van België',
  creators=(' prentmaker: Dürer, Albrecht', ' : ', 'uitgever: Woodbury & Page'),
  types=('prent', 'historieprent'),
  materials=('papier', 'inkt'),
  techniques=('etsen',),
  years=(1642, 1650),
)


def wrap(body: str, *, declared: bool = True) -> str:
  names = ' xmlns:oai_dc="http://o/" xmlns:dc="http://d/"' if declared else ''
  return (
    f'<record><header><identifier>oai:x</identifier></header><metadata><oai_dc:dc{names}>'
    f'{body}</oai_dc:dc></metadata></record>'
  )


def read(text: str | bytes) -> oai.Record:
  return oai.read(text if isinstance(text, bytes) else text.encode(), name='0000001_SK-A-1.xml')


def refusal(data: bytes) -> str:
  with pytest.raises(oai.RecordError) as error:
    oai.read(data, name='0000001_SK-A-1.xml')
  assert str(error.value).startswith('0000001_SK-A-1.xml: ')
  assert '\n' not in str(error.value)
  return error.value.reason


@pytest.mark.parametrize('declared', [True, False])
def test_reads_every_element(declared):
  record = read(oai_dc(WORK, declared=declared))
  assert record == oai.Record(
    object_number='RP-P-1992-35',
    title='Wapen van België',
    creators=('prentmaker: Dürer, Albrecht', ':', 'uitgever: Woodbury & Page'),
    types=('prent', 'historieprent'),
    materials=('papier', 'inkt'),
    techniques=('etsen',),
    years=(1642, 1650),
    rights='https://creativecommons.org/publicdomain/zero/1.0/',
    credit_line='Schenking van de Tekenaar van dit Museum',
    source_url='http://www.rijksmuseum.nl/collectie/RP-P-1992-35',
  )


@pytest.mark.parametrize(
  ('encoding', 'repair'),
  [
    ('utf-8', ()),
    ('undeclared', ()),
    ('cp1252-as-utf-8', ('encoding is cp1252, file says utf-8',)),
    ('utf-8-as-latin-1', ('encoding is utf-8, file says iso-8859-1',)),
  ],
)
def test_every_encoding_gives_the_same_name(encoding, repair):
  record = read(oai_dc(WORK, encoding=encoding))
  assert record.creators[0] == 'prentmaker: Dürer, Albrecht'
  assert record.title == 'Wapen van België'
  assert record.repairs == repair


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-8-sig', 'iso-8859-1'])
def test_other_honest_encodings(encoding):
  declared = {'utf-8-sig': 'utf-8'}.get(encoding, encoding)
  text = f'<?xml version="1.0" encoding="{declared}"?>{wrap("<dc:title>Käthe</dc:title>")}'
  record = read(text.encode(encoding))
  assert (record.title, record.repairs) == ('Käthe', ())


def test_latin_1_with_c1_bytes_is_windows_1252():
  text = f'<?xml version="1.0" encoding="iso-8859-1"?>{wrap("<dc:title>‘é’</dc:title>")}'
  record = read(text.encode('cp1252'))
  assert record.title == '‘é’'
  assert record.repairs == ('encoding is cp1252, file says iso-8859-1',)


def test_unknown_encoding_name_is_repaired():
  record = read('<?xml version="1.0" encoding="klingon"?>' + wrap('<dc:title>Käthe</dc:title>'))
  assert record.title == 'Käthe'
  assert record.repairs


@pytest.mark.parametrize(
  ('body', 'title'),
  [
    ('<dc:title>Woodbury & Page</dc:title>', 'Woodbury & Page'),
    ('<dc:title>Caf&eacute; &bestaatniet; A&B;</dc:title>', 'Café &bestaatniet; A&B;'),
    ('<dc:title>Du\x0brer</dc:title>', 'Durer'),
    ('<dc:title>Woodbury &amp;amp; Page</dc:title>', 'Woodbury & Page'),
    ('<dc:title>D\u0075\u0308rer</dc:title>', 'Dürer'),
    ('<dc:title>  Jan \n\t Steen </dc:title>', 'Jan Steen'),
    ('<dc:title><![CDATA[A <b> & c]]></dc:title>', 'A <b> & c'),
    ('<dc:title>&#8364; 5</dc:title>', '€ 5'),
    ('<title>zonder voorvoegsel</title>', 'zonder voorvoegsel'),
  ],
)
def test_text_is_repaired_or_cleaned(body, title):
  assert read(HEAD + wrap(body)).title == title


def test_blank_before_the_declaration():
  assert read('\n  ' + HEAD + wrap('<dc:title>x</dc:title>')).title == 'x'


def test_header_identifier_is_not_the_object_number():
  assert (
    read(
      wrap(
        '<dc:identifier>RM0001.COLLECT.9</dc:identifier><dc:identifier>SK-A-4881</dc:identifier>'
      )
    ).object_number
    == 'SK-A-4881'
  )


@pytest.mark.parametrize(
  ('date', 'years'),
  [
    ('1642 - 1650', (1642, 1650)),
    ('1650-1642', (1642, 1650)),
    ('1642', (1642, 1642)),
    ('ca. 1642/1650', (1642, 1650)),
    ('950 - 1020', (950, 1020)),
    ('17e eeuw', None),
    ('', None),
    ('9999', None),
    ('16421650', None),
    ('-1200 - -1000', None),
    ('600 v. Chr.', None),
    ('ca. 600 BC - 500 BC', None),
    ('300 BCE', None),
    ('-0300', None),
    ('-0050 - 0120', None),
    ('50 av. J.-C. - 120', None),
    ('500 voor Christus', None),
    ('1650/51', (1650, 1651)),
    ('1650-51', (1650, 1651)),
    ('1889-06-12', (1889, 1889)),
    ('1889-06', (1889, 1889)),
    ('12-06-1889', (1889, 1889)),
    ('c. 1650 (inv. 1234)', (1650, 1650)),
    ('(1650)', (1650, 1650)),
  ],
)
def test_dates(date, years):
  assert read(wrap(f'<dc:title>x</dc:title><dc:date>{date}</dc:date>')).years == years


PAGE = 'https://www.rijksmuseum.nl/nl/collectie/SK-A-1'


@pytest.mark.parametrize(
  'picture', ['nl/assetimage2.jsp?id=SK-A-1', 'images/aria/SK-A-1.z', 'media/SK-A-1.JPG', 'iiif/1']
)
def test_the_address_is_that_of_the_page(picture):
  urls = [f'https://www.rijksmuseum.nl/{picture}', PAGE]
  for order in (urls, urls[::-1]):
    body = ''.join(f'<dc:format>{url}</dc:format>' for url in order)
    assert read(wrap(f'<dc:title>x</dc:title>{body}')).source_url == PAGE
  case = next((SHARED / 'cases').glob('32-*/*.xml'), None)
  if case is None:
    pytest.skip('the true record is in ../shared/cases')
  assert read(case.read_bytes()).source_url.endswith('/nl/collectie/SK-A-0001')


def test_a_whole_answer_of_the_service():
  record = '<dc:identifier>http://hdl.handle.net/1</dc:identifier><dc:identifier>A</dc:identifier>'
  answer = f'<OAI-PMH xmlns="o"><GetRecord>{wrap(record)}</GetRecord></OAI-PMH>'
  assert read(answer).object_number == 'A'
  several = f'<ListRecords>{wrap(record)}{wrap(record)}</ListRecords>'
  assert refusal(several.encode()) == 'XML holds several records'


def test_material_only_after_its_label():
  record = read(
    wrap(
      '<dc:format>papier</dc:format><dc:format>Materiaal : hout</dc:format>'
      '<dc:format>materiaal: hout</dc:format><dc:format>materiaal: </dc:format>'
      '<dc:format>materiaal: lood (materiaal): x</dc:format>'
    )
  )
  assert record.materials == ('hout', 'lood (materiaal): x')


BOMB = (
  '<!DOCTYPE l [<!ENTITY a "'
  + 'ha' * 50
  + '">'
  + ''.join(f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip('abcdef', 'bcdefg', strict=True))
  + ']>'
)


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (b'', 'XML is empty'),
    (b' \n\t ', 'XML is empty'),
    ((HEAD + '<!DOCTYPE record>' + wrap('<dc:title>x</dc:title>')).encode(), 'XML has a DOCTYPE'),
    ((BOMB + wrap('<dc:title>&g;</dc:title>')).encode(), 'XML has a DOCTYPE'),
    (('<!DOCTYPE r SYSTEM "file:///etc/passwd">' + wrap('')).encode(), 'XML has a DOCTYPE'),
    (('<!doctype html>' + wrap('')).encode(), 'XML has a DOCTYPE'),
    (
      (
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + wrap('<dc:title>&x;</dc:title>')
      ).encode('utf-16'),
      'XML has a DOCTYPE',
    ),
    (
      ('<!DOCTYPE r SYSTEM "file:///etc/passwd">' + wrap('<dc:title>x</dc:title>')).encode(
        'utf-16'
      ),
      'XML has a DOCTYPE',
    ),
    (wrap('<a>' * 10 + '<dc:title>x</dc:title>' + '</a>' * 10).encode(), 'XML is nested too deep'),
    (b'<a>' * 100_000, 'XML is nested too deep'),
    (wrap('<dc:subject/>' * 6000).encode(), 'XML has too many elements'),
    (wrap('<dc:title>' + 'x' * (1 << 20) + '</dc:title>').encode(), 'XML is too large'),
    (oai_dc(WORK)[:-40], 'XML is not well-formed'),
    (wrap('<dc:title>x</dc:creator>').encode(), 'XML is not well-formed'),
    (b'<html><body>404 Not Found</body></html>', 'XML without Dublin Core'),
    (b'<html><head><title>404</title></head></html>', 'XML without Dublin Core'),
    (b'{"title": "x"}', 'XML is not well-formed'),
    (b'\xff\xd8\xff\xe0\x00\x10JFIF', 'XML is not well-formed'),
    (b'\x00' * 100, 'XML is not well-formed'),
    (wrap('<dc:language>Dutch</dc:language>').encode(), 'XML without Dublin Core'),
    ((HEAD + wrap('<dc:title>&#0;</dc:title>')).encode(), 'XML is not well-formed'),
  ],
)
def test_refused(data, reason):
  assert refusal(data) == reason


PIECES = st.sampled_from(
  [
    b'<record>',
    b'</record>',
    b'<dc:title>',
    b'</dc:title>',
    b'<dc:format>materiaal: ',
    b'</dc:format>',
    b'<?xml version="1.0" encoding="',
    b'"?>',
    b'UTF-8',
    b'utf-16',
    b'cp1252',
    b'&amp;',
    b'&',
    b'&x;',
    b'&#x41;',
    b'&#55296;',
    b'<![CDATA[',
    b']]>',
    b'<!--',
    b'-->',
    b'<!',
    b'D\xc3\xbcrer',
    b'D\xfcrer',
    b'\x80',
    b'\xff\xfe',
    b'\x00',
    b'<a b="',
    b'"',
    b'>',
    b'1642',
    b'<dc:date>',
    b'</dc:date>',
    b' ' * 50,
    b'<b>' * 12,
  ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
  st.one_of(
    st.lists(PIECES, max_size=40).map(b''.join),
    st.binary(max_size=400),
    st.builds(
      lambda cut, at, new: (r := oai_dc(WORK, encoding=cut))[:at] + new + r[at:],
      st.sampled_from(['utf-8', 'undeclared', 'cp1252-as-utf-8']),
      st.integers(0, 1500),
      st.binary(min_size=1, max_size=12),
    ),
  )
)
def test_any_bytes_give_a_record_or_a_reason(data):
  began = time.process_time()  # of this process, as a busy machine is not a failure
  try:
    record = oai.read(data, name='x.xml')
  except oai.RecordError as error:
    assert error.reason
  else:
    assert all(
      text == ' '.join(text.split()) for text in (*record.creators, *record.types, record.title)
    )
  assert time.process_time() - began < 1


def test_hostile_input_costs_neither_time_nor_memory():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  began = time.process_time()
  for data in (
    b'<a>' * 300_000,
    b'&' * oai.MAX_BYTES,
    b'&aa' * 300_000,
    (wrap('<x/>' * 200_000)).encode(),
    b'<?xml encoding="' + b'x' * 1_000_000,
    b'<dc:title>' + b'&#65;' * 200_000,
    b'<a ' + b'b="" ' * 200_000 + b'>',
    (BOMB + wrap('&g;')).encode(),
  ):
    with pytest.raises(oai.RecordError):
      oai.read(data, name='x.xml')
  assert time.process_time() - began < 10
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 300_000  # KiB
