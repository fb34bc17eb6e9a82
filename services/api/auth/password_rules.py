"""The rules for new passwords. Pure.

Dagu's API demands at least 8 bytes, so a longer minimum would refuse what Dagu's clients may send. The other
rules refuse only what is guessed first.
"""

__all__ = ["why_refused"]

_MIN_PASSWORD = 8
_COMMON_TEXT = """
    00000000 000000000 0000000000 01234567 0123456789 10203040 102030405060 11111111 111111111 1111111111 11112222
    11223344 1122334455 112233445566 12121212 12123434 123123123 123123123123 12341234 12344321 123454321 12345678
    123456789 1234567890 1234567890- 12345678910 123456789a 12345678a 123456abc 12345qwert 1234qwer 123654789
    123qweasd 123qweasdzxc 13131313 13579246 147258369 147852369 159357456 159753159 1a2b3c4d 1q2w3e4r 1q2w3e4r5t
    1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 1qazxsw2 20202020 22222222 222222222 23456789 25802580 31415926 33333333
    44444444 55555555 555555555 55667788 65656565 66666666 69696969 77777777 777777777 7777777777 78787878 789456123
    87654321 88888888 888888888 8888888888 90909090 963852741 98765432 987654321 9876543210 99999999 999999999
    9999999999 a1234567 a12345678 a123456789 a1b2c3d4 a1b2c3d4e5 aa123456 aa12345678 aaaaaaaa aaaaaaaaaa abc12345
    abc123456 abc123abc abcd1234 abcd12345 abcdefgh abcdefghi abcdefghij access14 admin123 admin1234 admin12345
    admin123456 adminadmin administrator adminpass adminpassword alexander asdasdasd asdf1234 asdfasdf asdfghjk
    asdfghjkl asdfqwer babygirl babygirl1 baseball baseball1 basketball beautiful bismillah blink182 butterfly
    cameron1 changeit changeme changeme1 changeme123 changethis charlie1 cheyenne chocolate christian cocacola
    computer corvette dagu1234 daguadmin dagway123 dagwayadmin default1 defaultpassword dolphins drowssap einstein
    elephant evangelion ferrari1 football football1 forever1 garfield godzilla greenday hello123 helloworld iloveyou
    iloveyou1 iloveyou2 internet jennifer jessica1 jonathan justinbieber kawasaki killer12 letmein1 letmein123
    letmeinnow liverpool liverpool1 loveyou1 manchester marlboro maverick mercedes metallica michael1 michelle
    midnight minecraft motdepasse mountain mustang1 myspace1 nicholas ninja123 nintendo p@ssw0rd p@ssw0rd1
    p@ssw0rd123 p@ssword pa$$w0rd pa55w0rd pa55word passpass passw0rd passw0rd1 password password! password0
    password01 password1 password1! password11 password12 password123 password123! password1234 password12345
    password2 password3 passwort passwort1 passwort123 pokemon1 precious princess princess1 q1w2e3r4 q1w2e3r4t5
    qazwsx123 qazwsxedc qwe123qwe qweasdzxc qweqweqwe qwer1234 qwert123 qwert12345 qwerty12 qwerty123 qwerty1234
    qwerty12345 qwerty123456 qwertyui qwertyuiop qwertyuiop123 qwertz123 qwertzui qwertzuiop root1234 rootroot
    samantha samsung1 scarface scooter1 secret12 secret123 secretpassword serenity sergey12 shadow123 slipknot
    snowball spiderman starwars starwars1 steelers sunshine sunshine1 superman superman1 superuser swordfish
    test1234 test12345 testing1 testing123 testtest thunder1 tinkerbell toortoor trustno1 twilight user1234 useruser
    valentine veronica victoria welcome1 welcome123 welcome2 whatever whatever1 william1 windows1 xxxxxxxx yankees1
    zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123 zxczxczxc zzzzzzzz
"""
"""Widely used passwords, and those that come to mind first for a product like this one. In lower case."""
_COMMON = frozenset(_COMMON_TEXT.split())


def why_refused(password: str, username: str) -> str:
    """Return which rule a new password of this user breaks; an empty text if none."""
    if len(password.encode("utf-8", "surrogatepass")) < _MIN_PASSWORD:
        return f"must have at least {_MIN_PASSWORD} characters"
    plain = password.strip().casefold()
    if len(set(plain)) < 2:
        return "must not be blank or one character repeated"
    if plain == username.strip().casefold():
        return "must not be the username"
    if plain in _COMMON:
        return "must not be one of the most common passwords"
    return ""
